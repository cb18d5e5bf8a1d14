"""The made-up nodes of the benchmark of samples, and its figures."""

from __future__ import annotations

import pickle
from typing import Any

from benchmarks.entries.samples import Amounts, Bounded, Cost, Nodes, result
from benchmarks.entries.scale import Sent
from octopus_plugins.htex.reports import samples_event

AMOUNTS = Amounts(nodes=4, workers=3, messages=10, seconds=9.0)


def messages(packed: list[bytes]) -> list[dict[str, Any]]:
    return [pickle.loads(each)[1] for each in packed]


def test_each_node_tells_once_a_period_of_each_worker() -> None:
    nodes = Nodes(AMOUNTS)
    told = messages([*nodes.due(1.0), *nodes.due(3.0)])
    assert len(told) == 12
    assert all(len(message["tries"]) == 3 for message in told)
    sequences = [(each["number"], each["sequence"]) for message in told for each in message["tries"]]
    assert sorted(sequences) == [(number, sequence) for number in range(12) for sequence in range(3)]


def test_told_to_they_tell_less_often_and_not_at_the_same_time() -> None:
    nodes = Nodes(AMOUNTS)
    list(nodes.due(1.0))
    nodes.retime(10.0, 1.0)
    first = [len(list(nodes.due(1.0 + second))) for second in range(1, 11)]
    assert sum(first) == 4
    assert max(first) < 4
    assert all(message["stretch"] == 10.0 for message in messages(list(nodes.due(21.0))))


def test_what_they_say_is_what_a_story_takes() -> None:
    (message,) = messages([next(Nodes(AMOUNTS).due(1.0))])
    event = samples_event({"run_id": "r"}, message, [({"task_id": "7"}, each) for each in message["tries"]])
    assert event.states == 3
    alone = messages(list(Nodes(AMOUNTS).alone(0, 0)))
    assert [each["number"] for each in alone] == [0, 1, 2]
    assert {each["kind"] for each in alone} == {"sample"}


def test_the_ratios_are_those_of_the_same_round() -> None:
    together = [Cost(10.0, 1.0, Sent(10, 2_000, 250), 10), Cost(20.0, 2.0, Sent(10, 2_000, 250), 10)]
    alone = [Cost(40.0, 4.0, Sent(10, 6_000, 500), 10), Cost(80.0, 8.0, Sent(10, 6_000, 500), 10)]
    bounded = Bounded(rate=900.0, budget=1_000.0, stretch=20.0, learnt=5.0, late=0, load=0.1)
    figures = {
        figure.name: figure for figure in result({"together": together, "alone": alone}, bounded, AMOUNTS).figures
    }
    assert figures["CPU of the submitting process: a sample in a node's record / alone"].value.median == 0.25
    assert figures["bytes that the broker keeps: a sample in a node's record / alone"].value.median == 0.5
    kept = figures["bytes sent a second within the budget / the budget"]
    assert kept.value.median == 0.9
    assert kept.goal is not None and kept.goal.verdict(kept.value.median).startswith("met")
