"""Samples of a pool on their way: which the node produces, and which go to the submit side."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest

from octopus_plugins.events import ResourceSamples
from octopus_plugins.fabric.kafka import delegation
from octopus_plugins.fabric.kafka.delegation import Grant
from octopus_plugins.htex import broadcasts
from octopus_plugins.htex.observation import Settings
from octopus_plugins.htex.pool import node_producer
from octopus_plugins.htex.pool.node_producer import NodeProducer

GRANTED = pickle.dumps(Grant("me", {"bootstrap.servers": "127.0.0.1:9"}, 10_000))


class Taken:
    """In the place of the deputy, which talks to brokers: keeps what it is given."""

    def __init__(self) -> None:
        self.events: list[ResourceSamples] = []
        self.back: list[Callable[[], None]] = []
        self.grants: list[Grant] = []
        self.takes = True
        self.delivered, self.returned, self.weighed, self.error = 0, 0, 0.0, None

    def renew(self, fresh: Grant) -> None:
        self.grants.append(fresh)

    def send(self, event: ResourceSamples, back: Callable[[], None]) -> bool:
        if self.takes:
            self.events.append(event)
            self.back.append(back)
        return self.takes


class Node:
    """A pool's producer, and what went to the submit side."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.producer = NodeProducer(Settings("run", "small", 1.0, 10.0), self.sent.append)

    @property
    def deputy(self) -> Any:
        return self.producer._deputy

    def shared(self) -> list[tuple[int, int]]:
        """Worker and sequence of each sample that the submit side got."""
        return [(each["worker_id"], each["sequence"]) for message in self.sent for each in message["tries"]]

    def produced(self) -> list[tuple[int | None, int]]:
        return [(each.worker_id, each.sequence) for event in self.deputy.events for each in event.tries]


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Node:
    monkeypatch.setattr(delegation, "Deputy", Taken)
    monkeypatch.setattr(broadcasts, "received", broadcasts.Notices())
    return Node()


def sample(worker: int = 1, sequence: int = 0, subject: tuple[int, int] | None = (7, 2)) -> dict[str, Any]:
    about = {"number": 3, "started": 9.0, "app": None, "pid": 5, "subject": subject}
    return {**about, "worker_id": worker, "sequence": sequence, "usage": {"time": 10.0 + sequence, "rss": 100}}


def message(*tries: dict[str, Any]) -> dict[str, Any]:
    place = {"host": "node", "block": "0", "manager": "m"}
    about = {"kind": "samples", "executor": "small", "time": 11.0, "period": 1.0, "stretch": 1.0}
    return {**about, "place": place, "tries": list(tries)}


def test_all_goes_to_the_submit_side_until_there_is_a_grant(node: Node) -> None:
    told = message(sample(1, 3), sample(2, 4))
    node.producer.send(told)
    assert node.sent == [told]
    assert node.producer.report() == {}


def test_with_a_grant_all_but_a_tries_first_sample_is_produced_here(node: Node) -> None:
    broadcasts.take(broadcasts.GRANT, GRANTED)
    for sequence in range(3):
        node.producer.send(message(sample(1, sequence), sample(2, sequence + 1)))
    assert node.shared() == [(1, 0), (2, 1)]
    assert node.produced() == [(1, 1), (2, 2), (1, 2), (2, 3)]
    event = node.deputy.events[0]
    assert (event.run_id, event.executor, event.host, event.block, event.manager) == ("run", "small", "node", "0", "m")
    assert [each.id for each in event.unfolded()] == ["run/7/2/resource/1", "run/7/2/resource/2"]
    assert event.tries[0].usage.rss == 100


def test_now_and_then_a_sample_goes_to_the_submit_side(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    broadcasts.take(broadcasts.GRANT, GRANTED)
    now = [100.0]
    monkeypatch.setattr(node_producer.time, "monotonic", lambda: now[0])
    for sequence in range(25):
        node.producer.send(message(sample(1, sequence)))
        now[0] += 1.0
    assert node.shared() == [(1, 0), (1, 10), (1, 20)]
    assert len(node.produced()) == 22


def test_what_has_no_name_goes_to_the_submit_side(node: Node) -> None:
    broadcasts.take(broadcasts.GRANT, GRANTED)
    node.producer.send(message(sample(1, 5, subject=None)))
    node.producer.send(message(sample(1, 6, subject=None)))
    assert node.shared() == [(1, 5), (1, 6)]
    assert node.produced() == []


def test_what_is_not_taken_or_comes_back_goes_to_the_submit_side(node: Node) -> None:
    broadcasts.take(broadcasts.GRANT, GRANTED)
    node.producer.send(message(sample(1, 0), sample(2, 0)))
    node.deputy.takes = False
    node.producer.send(message(sample(1, 1), sample(2, 1)))
    assert node.shared() == [(1, 0), (2, 0), (1, 1), (2, 1)]
    node.deputy.takes = True
    node.producer.send(message(sample(1, 2)))
    assert node.shared() == [(1, 0), (2, 0), (1, 1), (2, 1)]
    node.deputy.back[0]()
    assert node.shared()[-1] == (1, 2)


def test_what_cannot_be_told_goes_to_the_submit_side(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    broadcasts.take(broadcasts.GRANT, GRANTED)
    node.producer.send(message(sample(1, 0)))
    for sequence in (1, 2):
        node.producer.send(message({**sample(1, sequence), "usage": {"time": "yesterday"}}))
    assert node.shared() == [(1, 0), (1, 1), (1, 2)]
    assert caplog.text.count("Samples could not be produced from here") == 1
