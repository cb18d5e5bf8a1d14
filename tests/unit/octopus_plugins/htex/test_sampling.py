"""What a pool tells of its workers: real processes, in a pool that is not there."""

from __future__ import annotations

import os
import pickle
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from typing import Any

import pytest

from octopus_plugins.events import Usage
from octopus_plugins.htex import broadcasts
from octopus_plugins.htex.broadcasts import PACE, Notices
from octopus_plugins.htex.observation import Settings
from octopus_plugins.htex.pool import sampling
from octopus_plugins.htex.pool.sampling import Sampler
from octopus_plugins.htex.reports import samples_event
from octopus_plugins.htex.worker_table import BUSY, IDLE, Board, Slot

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux's memfd_create")

PLACE = {"host": "node", "block": "0", "manager": "pool", "worker_id": None}


class Pool:
    """Two workers with a board, and a clock that is set by hand."""

    def __init__(self, period: float = 1.0) -> None:
        board = Board.create(2)
        assert board is not None
        self.board = board
        self.workers: dict[int, BaseProcess] = {}
        for number in range(2):
            self.workers[number] = get_context("spawn").Process(target=time.sleep, args=(60,))
            self.workers[number].start()
        self.told: list[dict[str, Any]] = []
        self.sampler = Sampler(Settings("run", "small", period, 0.0), PLACE, board, self.told.append)
        self.now = 100.0
        # As if it had looked before: the first time it waits for a part of its period.
        self.sampler._next_look = self.now

    def give(self, worker: int, number: int, **more: Any) -> None:
        self.board.write(worker, Slot(self.workers[worker].pid or 0, BUSY, number, 9.0, **more))

    def pass_by(self, seconds: float, step: float = 0.2) -> list[float]:
        """Look as often as a pool does; returns when something was told."""
        told, until = [], self.now + seconds
        while self.now < until:
            before = len(self.told)
            self.sampler.look(self.workers, self.now)
            told += [round(self.now, 3)] * (len(self.told) - before)
            self.now += step
        return told

    def close(self) -> None:
        for worker in self.workers.values():
            worker.kill()
            worker.join(10)
            worker.close()
        self.board.close()


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pool]:
    monkeypatch.setattr(broadcasts, "received", Notices())
    made = Pool()
    yield made
    made.close()


def sequences(pool: Pool) -> list[list[tuple[int, int]]]:
    return [[(each["number"], each["sequence"]) for each in message["tries"]] for message in pool.told]


def test_all_tries_of_a_node_are_one_message(pool: Pool) -> None:
    pool.give(0, 11)
    pool.give(1, 12, named=1, task=7, try_id=2, app=b"nap")
    assert pool.pass_by(2.9) == [100.0, 101.0, 102.0]
    assert sequences(pool) == [[(11, 0), (12, 0)], [(11, 1), (12, 1)], [(11, 2), (12, 2)]]
    message = pool.told[0]
    assert message["place"] == {"host": "node", "block": "0", "manager": "pool"}
    assert (message["kind"], message["executor"], message["period"], message["stretch"]) == ("samples", "small", 1, 1)
    first, second = message["tries"]
    assert (first["subject"], first["app"], first["started"]) == (None, None, 9.0)
    assert (second["subject"], second["app"]) == ((7, 2), "nap")
    assert second["pid"] == pool.workers[1].pid
    assert {"rss", "peak_rss", "vms", "open_files", "threads", "children"} <= first["usage"].keys()
    assert first["usage"]["rss"] > 0, "a process that has just begun has little more"


def test_a_node_without_tasks_says_nothing(pool: Pool) -> None:
    pool.board.write(0, Slot(pool.workers[0].pid or 0, IDLE))
    assert pool.pass_by(3.0) == []


def test_the_next_try_of_a_worker_is_counted_anew(pool: Pool) -> None:
    pool.give(0, 11)
    pool.pass_by(1.5)
    pool.give(0, 12)
    pool.pass_by(1.5)
    assert sequences(pool) == [[(11, 0)], [(11, 1)], [(12, 0)], [(12, 1)]]


def test_processor_time_is_the_tries_own(pool: Pool) -> None:
    # A worker had used some when the try began: more than the kernel says by now, which counts in hundredths.
    pool.give(0, 11, cpu_user=1e6, cpu_system=1e6)
    pool.give(1, 12)
    deadline = time.monotonic() + 60
    while not any(sampling.process.usage(pool.workers[1].pid or 0)[name] for name in ("cpu_user", "cpu_system")):
        assert time.monotonic() < deadline  # a process has used a hundredth of a second soon after its start
    pool.pass_by(0.1)
    first, second = (each["usage"] for each in pool.told[0]["tries"])
    assert (first["cpu_user"], first["cpu_system"]) == (0.0, 0.0)
    assert second["cpu_user"] + second["cpu_system"] > 0.0


def test_a_process_that_is_not_the_worker_any_more_is_not_measured(pool: Pool) -> None:
    pool.board.write(0, Slot(os.getpid(), BUSY, 11, 9.0))
    pool.give(1, 12)
    pool.workers[1].kill()
    pool.workers[1].join(10)
    assert pool.pass_by(1.0) == []


def test_a_try_that_ends_while_it_is_measured_is_not_told(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    measure = sampling.process.usage

    def and_end(pid: int) -> dict[str, Any]:
        pool.give(0, 12)
        return measure(pid)

    monkeypatch.setattr(sampling.process, "usage", and_end)
    pool.give(0, 11)
    assert pool.pass_by(0.1) == []


def test_a_line_that_was_read_while_it_was_written_is_not_believed(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    measure = sampling.process.usage

    def and_go_on_writing(pid: int) -> dict[str, Any]:
        pool.give(0, 11, cpu_user=1e6)
        return measure(pid)

    pool.give(0, 11)  # of the new line only the beginning: the rest is that of a worker without a task
    with monkeypatch.context() as patch:
        patch.setattr(sampling.process, "usage", and_go_on_writing)
        assert pool.pass_by(0.1) == []
    assert pool.pass_by(1.0) == [101.0]
    pool.give(0, 11, cpu_user=1e6, ticked=7.0, deadline=8.0, app=b"nap")  # what may change while a try runs
    assert len(pool.pass_by(1.0)) == 1


def test_it_tells_less_often_where_it_is_asked_to_and_measures_all_the_same(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling.random, "random", lambda: 0.5)  # by others the last look may be one that tells
    pool.give(0, 11)
    assert pool.pass_by(1.9) == [100.0, 101.0]
    broadcasts.take(PACE, pickle.dumps(5.0))
    times = pool.pass_by(20.0)
    assert 102.0 <= times[0] <= 108.5  # somewhere within the first period: not all nodes at the same time
    # It tells when it measures, once a second.
    assert len(times) in (3, 4)
    assert all(4.0 <= after - before <= 6.5 for before, after in pairwise(times))
    assert [message["stretch"] for message in pool.told] == [1, 1] + [5] * len(times)
    assert pool.told[-1]["period"] == 5.0
    assert [[sequence for _, sequence in each] for each in sequences(pool)] == [[n] for n in range(2 + len(times))]
    last = pool.sampler.take(0)
    assert last is not None
    assert last.usage["time"] > pool.told[-1]["tries"][0]["usage"]["time"]


def test_nodes_that_are_told_at_the_same_time_do_not_speak_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broadcasts, "received", Notices())
    pools = [Pool() for _ in range(2)]
    try:
        first = []
        for number, pool in enumerate(pools):
            monkeypatch.setattr(sampling.random, "random", lambda number=number: 0.1 + number / 2)
            pool.sampler._pace(10.0)
            pool.give(0, 11)
            first.append(pool.pass_by(20.0)[0])
        assert first[1] - first[0] == pytest.approx(5.0, abs=1.0)
    finally:
        for pool in pools:
            pool.close()


def test_pools_that_are_started_together_do_not_speak_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broadcasts, "received", Notices())
    pools = [Pool(period=60.0) for _ in range(2)]
    try:
        first = []
        for number, pool in enumerate(pools):
            monkeypatch.setattr(sampling.random, "random", lambda number=number: 0.1 + number / 2)
            pool.sampler._next_look = None
            pool.give(0, 11)
            first.append(pool.pass_by(60.0)[1])
        assert first[0] == pytest.approx(106.0, abs=0.3)
        assert first[1] - first[0] == pytest.approx(30.0, abs=0.5)
    finally:
        for pool in pools:
            pool.close()


def test_it_comes_back_to_what_was_set(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling.random, "random", lambda: 0.5)
    pool.give(0, 11)
    broadcasts.take(PACE, pickle.dumps(1000.0))
    assert pool.pass_by(3.0) == []
    broadcasts.take(PACE, pickle.dumps(1.0))
    assert len(pool.pass_by(3.0)) == 3


def test_more_than_a_reader_takes_are_several_messages(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "MAX_TOGETHER", 1)
    pool.give(0, 11)
    pool.give(1, 12)
    pool.pass_by(0.1)
    assert sequences(pool) == [[(11, 0)], [(12, 0)]]


def test_what_it_measures_is_what_the_events_hold(pool: Pool) -> None:
    pool.give(0, 11)
    pool.pass_by(0.1)
    (message,) = pool.told
    event = samples_event({"run_id": "run", "executor": "small"}, message, [({"task_id": "7"}, message["tries"][0])])
    (one,) = event.unfolded()
    assert (one.id, one.host, one.manager, one.block) == ("run/7/0/resource/0", "node", "pool", "0")
    assert (one.worker_id, one.pid, one.period, one.stretch) == (0, pool.workers[0].pid, 1.0, 1.0)
    assert isinstance(one.usage, Usage) and one.usage.rss == message["tries"][0]["usage"]["rss"]


def test_with_no_period_it_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broadcasts, "received", Notices())
    pool = Pool(period=0.0)
    try:
        pool.give(0, 11)
        assert pool.pass_by(1.0) == []
        assert pool.sampler.take(0) is None
    finally:
        pool.close()
