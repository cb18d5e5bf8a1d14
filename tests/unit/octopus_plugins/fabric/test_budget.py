"""A budget for samples, with a run that is a few lines: workers that sample as far apart as they are told."""

from __future__ import annotations

import random

import pytest

from octopus_plugins.fabric.produce.budget import BURST_SECONDS, MAX_STRETCH, SampleBudget

SIZE = 500


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Run:
    """Nodes with a period of a second as set, which hear of a new stretch two seconds late."""

    def __init__(self, rate: float, size: int = SIZE) -> None:
        self.clock = Clock()
        self.budget = SampleBudget(rate, self.clock)
        self._size = size
        self._told = [1.0] * 3
        self._due: list[float] = []
        self._chance = random.Random(6)

    def go(self, seconds: int, nodes: int) -> list[int]:
        """Bytes that fitted, second by second."""
        now, spent = self.clock.now, []
        self._due = self._due[:nodes] + [now + self._chance.random() for _ in range(nodes - len(self._due))]
        for _ in range(seconds):
            now, before, stretch = now + 1.0, self.budget.spent, self._told[-3]
            if stretch != self._told[-4 if len(self._told) > 3 else -3]:
                self._due = [now + self._chance.random() * stretch for _ in self._due]
            for due, node in sorted((due, node) for node, due in enumerate(self._due) if due < now):
                self.clock.now = max(due, self.clock.now)
                self.budget.admits(self._size, stretch, str(node), stretch)
                self._due[node] = due + stretch
            self.clock.now = now
            self.budget.look()
            self._told.append(self.budget.stretch)
            spent.append(self.budget.spent - before)
        return spent


def test_what_fits_is_as_often_as_was_set() -> None:
    run = Run(100_000)
    spent = run.go(60, nodes=150)
    assert run.budget.stretch == 1.0
    assert spent == [150 * SIZE] * 60


def test_more_workers_sample_further_apart_and_little_is_left_out() -> None:
    run = Run(100_000)
    spent = run.go(120, nodes=2_000)  # ten times as much as there is room for
    assert sum(spent) <= (120 + BURST_SECONDS) * 100_000 + SIZE
    assert 9.0 <= run.budget.stretch <= 12.5
    # It is the samplers that keep within the budget.
    assert sum(spent[-30:]) == pytest.approx(2_000 / run.budget.stretch * SIZE * 30, rel=0.1)
    assert sum(spent[-30:]) > 0.75 * 30 * 100_000


def test_a_node_that_samples_ten_times_a_second_is_seen_to() -> None:
    clock = Clock()
    budget = SampleBudget(1_000, clock)
    for number in range(200):
        clock.now += 0.1
        budget.admits(SIZE, 1.0, "a", 0.1)
        budget.look()
        assert number < 20 or budget.stretch == pytest.approx(5_000 / 900, rel=0.2)


def test_a_run_that_begins_slowly_loses_none_of_its_first_samples() -> None:
    run = Run(100_000)
    spent = run.go(3, nodes=300)  # half as much again as there is room for
    assert sum(spent) == sum(int(SIZE * 300) for _ in range(3))


@pytest.mark.parametrize(("rate", "size", "nodes"), [(100_000, 5_000, 1_000), (1_000, 27_000, 1), (1_000, 27_000, 2)])
def test_it_does_not_go_to_and_fro(rate: float, size: int, nodes: int) -> None:
    run = Run(rate, size)
    run.go(400, nodes)
    steady = [(run.go(1, nodes), run.budget.stretch)[1] for _ in range(400)]
    assert sum(steady) / len(steady) == pytest.approx(nodes * size / rate / 0.9, rel=0.2)
    assert max(steady) / min(steady) < 1.3


def test_when_workers_go_the_others_sample_more_often_again() -> None:
    run = Run(100_000)
    run.go(120, nodes=2_000)
    run.go(200, nodes=100)
    assert run.budget.stretch == 1.0


def test_what_nodes_sent_by_themselves_counts() -> None:
    clock = Clock()
    budget = SampleBudget(1_000, clock)
    for beat in range(1, 12):
        clock.now += 10.0
        budget.hear("a", beat * 50_000.0)  # 5,000 bytes a second
        budget.hear("b", beat * 50_000.0)
        budget.look()
    assert budget.stretch == pytest.approx(10_000 / 900, rel=0.25)
    budget.hear("a", 0.0)  # a pool that began anew takes nothing back
    clock.now += 10.0
    budget.look()
    assert budget.stretch > 1.0


@pytest.mark.parametrize("period", [10.0, 60.0])
def test_nodes_that_tell_all_at_once_what_they_sent_seem_to_send_no_more_than_they_do(period: float) -> None:
    clock = Clock()
    budget = SampleBudget(100_000, clock)
    for second in range(1_200):
        clock.now += 1.0
        if second % period == 0:
            for node in range(40):
                budget.hear(str(node), second * 2_000.0)  # 80,000 bytes a second, of the 90,000 that there are
        if second % period == 1:
            budget.hear("7", second * 2_000.0 + 20_000.0)  # again, since a worker died
        budget.look()
        assert budget.stretch == 1.0
    for _ in range(200):  # they are gone
        clock.now += 1.0
        budget.look()
    assert budget._by_source == {}


def test_samplers_that_cannot_be_told_take_nothing_from_those_that_can() -> None:
    clock = Clock()
    budget = SampleBudget(100_000, clock)
    fitted, due = {True: 0, False: 0}, {True: 0.0, False: 0.0}
    for second in range(240):
        for number in range(400):  # 200,000 bytes a second, however often they are told
            clock.now += 1.0 / 400
            for heeds in (False, True) if number % 4 == 0 and number / 4 < 100 / budget.stretch else (False,):
                told = (budget.stretch, str(number), budget.stretch) if heeds else ()
                admitted = budget.admits(SIZE, *told)
                if second > 60:
                    due[heeds] += SIZE
                    fitted[heeds] += SIZE * admitted
        budget.look()
    assert fitted[True] == due[True] > 0
    assert 0.7 * 100_000 * 179 < sum(fitted.values()) <= 100_000 * 179 + 2 * SIZE


def test_it_has_an_end() -> None:
    clock = Clock()
    budget = SampleBudget(1, clock)
    for _ in range(100):
        clock.now += 10.0
        budget.hear("a", clock.now * 1e9)
        budget.look()
    assert budget.stretch == MAX_STRETCH


def test_a_record_that_is_larger_than_all_there_is_gets_through_now_and_then() -> None:
    clock = Clock()
    budget = SampleBudget(10, clock)
    fitted = 0
    for _ in range(1_000):
        clock.now += 1.0
        fitted += budget.admits(1_000, 1.0, "a", 1.0)
    assert 9 <= fitted <= 11
