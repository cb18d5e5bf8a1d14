"""A budget for samples, with a run that is a few lines: workers that sample as far apart as they are told."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from octopus_plugins.fabric.budget import BURST_SECONDS, MAX_STRETCH, SampleBudget, explained

SIZE = 500


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Run:
    """Workers with a period of a second each, which hear of a new stretch two seconds late."""

    def __init__(self, rate: float) -> None:
        self.clock = Clock()
        self.budget = SampleBudget(rate, self.clock)
        self.taken = 0
        self.told: list[float] = [1.0] * 3

    def go(self, seconds: int, workers: int | Callable[[int], int]) -> list[int]:
        """Bytes that fitted, second by second."""
        spent = []
        for second in range(seconds):
            stretch = self.told[-3]
            due = (workers if isinstance(workers, int) else workers(second)) / stretch
            fitted = 0
            for number in range(round(due)):
                self.clock.now += 1.0 / max(round(due), 1)
                fitted += SIZE * self.budget.admits(SIZE, stretch)
                del number
            if not round(due):
                self.clock.now += 1.0
            self.budget.look()
            self.told.append(self.budget.stretch)
            spent.append(fitted)
        return spent


def test_what_fits_is_as_often_as_was_set() -> None:
    run = Run(100_000)
    spent = run.go(60, workers=150)
    assert run.budget.stretch == 1.0
    assert spent == [150 * SIZE] * 60


def test_more_workers_sample_further_apart_and_little_is_left_out() -> None:
    run = Run(100_000)
    spent = run.go(120, workers=2_000)  # ten times as much as there is room for
    assert sum(spent) <= (120 + BURST_SECONDS) * 100_000 + SIZE
    assert 10.0 <= run.budget.stretch <= 12.5
    # At the end it is the samplers that keep within the budget: nothing is left out any more.
    assert spent[-30:] == [round(2_000 / run.budget.stretch) * SIZE] * 30
    assert sum(spent[-30:]) > 0.75 * 30 * 100_000


def test_a_run_that_begins_slowly_loses_none_of_its_first_samples() -> None:
    run = Run(100_000)
    spent = run.go(5, workers=300)  # half as much again as there is room for
    assert spent == [300 * SIZE] * 5


def test_it_does_not_forget_what_it_holds_back() -> None:
    run = Run(100_000)
    run.go(300, workers=20_000)
    assert run.budget.stretch == pytest.approx(100 / 0.9, rel=0.3)
    steady = [run.go(1, workers=20_000) and run.budget.stretch for _ in range(200)]
    assert max(steady) / min(steady) < 1.6


def test_when_workers_go_the_others_sample_more_often_again() -> None:
    run = Run(100_000)
    run.go(120, workers=2_000)
    run.go(200, workers=100)
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
                admitted = budget.admits(SIZE, budget.stretch if heeds else 1.0, heeds=heeds)
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
        fitted += budget.admits(1_000, 1.0)
    assert 9 <= fitted <= 11


def test_the_log_says_what_to_do() -> None:
    assert "more than 1,000,000 bytes a second" in explained(SampleBudget(1e6))
    assert "sample_budget" in explained(SampleBudget(1e6))
