"""What the agent does for workers that are real processes, in a pool that is not there."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from typing import Any

import pytest
from parsl.app.errors import AppTimeout, RemoteExceptionWrapper
from parsl.executors.high_throughput.errors import WorkerLost
from parsl.serialize import deserialize

from octopus_plugins.htex.observation import WATCHED, Observation, Settings
from octopus_plugins.htex.pool.agent import Agent
from octopus_plugins.htex.pool.sampling import Sampler
from octopus_plugins.htex.worker_table import BUSY, OVERTIME, Board, Slot

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux's memfd_create")

SETTINGS = Settings("run", "small", 0.1, 60.0)
PLACE = {"host": "node", "block": "0", "manager": "pool", "worker_id": None}


class Pool:
    """A pool's workers, its record of their tasks, and what went to the interchange."""

    def __init__(self, settings: Settings = SETTINGS, restart_period: float = 0.0) -> None:
        board = Board.create(2)
        assert board is not None
        self.board = board
        self.sent: list[dict[str, Any]] = []
        self.samples: list[dict[str, Any]] = []
        self.tasks: dict[int, Any] = {}
        self.workers: dict[int, BaseProcess] = {}
        sampler = Sampler(settings, PLACE, board, self.samples.append)
        self.agent = Agent(
            settings,
            PLACE,
            board,
            self.tasks,
            sampler,
            self._put,
            self.start,
            restart_period,
            tell_start=lambda number: self.sent.append({"type": "start", "worker": number}),
        )

    def start(self, number: int) -> BaseProcess:
        worker = get_context("spawn").Process(target=time.sleep, args=(60,))
        worker.start()
        self.workers[number] = worker
        return worker

    def give(self, number: int, task_id: int, *, observed: bool = True, walltime: float | None = None) -> None:
        """Record that a worker has a task, as Parsl and the worker do."""
        context = {WATCHED: (task_id, walltime)}
        self.tasks[number] = {"task_id": task_id, "buffer": b"", "context": context if observed else {}}
        deadline = 0.0 if walltime is None else time.monotonic() + walltime
        self.board.write(number, Slot(self.workers[number].pid or 0, BUSY, task_id, time.time(), deadline))

    def look(self) -> None:
        self.agent.look(self.workers)

    def end(self, number: int, how: int = signal.SIGKILL) -> int:
        worker = self.workers[number]
        os.kill(worker.pid or 0, how)
        worker.join(10)
        return worker.pid or 0

    def answers(self) -> list[dict[str, Any]]:
        return [message for message in self.sent if message["type"] == "result"]

    def beats(self) -> list[dict[str, Any]]:
        return [message["payload"][1] for message in self.sent if message["type"] == "monitoring"]

    def close(self) -> None:
        for worker in self.workers.values():
            worker.kill()
            worker.join(10)
            worker.close()
        self.board.close()

    def _put(self, message: bytes) -> None:
        self.sent.append(pickle.loads(message))


@pytest.fixture
def make_pool() -> Iterator[Callable[..., Pool]]:
    made: list[Pool] = []

    def make(*args: Any, workers: int = 1, **options: Any) -> Pool:
        pool = Pool(*args, **options)
        made.append(pool)
        for number in range(workers):
            pool.start(number)
        return pool

    yield make
    for pool in made:
        pool.close()


def test_the_first_look_tells_of_the_node_and_the_next_does_not(make_pool: Callable[..., Pool]) -> None:
    pool = make_pool(workers=2)
    pool.look()
    pool.look()
    (beat,) = pool.beats()
    assert {worker["pid"] for worker in beat["workers"]} == {worker.pid for worker in pool.workers.values()}
    assert all(worker["rss"] > 0 for worker in beat["workers"])
    assert (beat["executor"], beat["period"], beat["place"]["pid"]) == ("small", 60.0, os.getpid())
    assert beat["node"]["memory_total"] > 0


def test_without_a_period_it_says_nothing_and_answers_all_the_same(make_pool: Callable[..., Pool]) -> None:
    pool = make_pool(Settings("run", "small", 0.0, 0.0))
    pool.give(0, 11)
    pool.look()
    pool.end(0)
    pool.look()
    assert pool.beats() == []
    assert [answer["task_id"] for answer in pool.answers()] == [11]


def test_an_observed_task_of_a_dead_worker_gets_an_observation(make_pool: Callable[..., Pool]) -> None:
    pool = make_pool()
    pool.give(0, 11)
    pool.look()
    pid = pool.end(0)
    pool.look()
    (answer,) = pool.answers()
    assert answer["task_id"] == 11
    seen = Observation.unpacked(deserialize(answer["result"]))
    wrapper = deserialize(seen.payload)
    assert isinstance(wrapper, RemoteExceptionWrapper)
    error = wrapper.get_exception()
    assert isinstance(error, WorkerLost) and error.worker_id == 0
    assert seen.place == {**PLACE, "worker_id": 0, "pid": pid}
    assert seen.post_mortem is not None
    assert seen.post_mortem["signal"] == signal.SIGKILL
    assert seen.post_mortem["usage"]["rss"] > 0
    assert seen.post_mortem["limits"]["open_files"] > 0
    assert seen.post_mortem["node"]["memory_total"] > 0
    assert pool.tasks == {}


def test_a_task_that_nobody_observes_gets_what_parsl_says(make_pool: Callable[..., Pool]) -> None:
    pool = make_pool()
    pool.give(0, 11, observed=False)
    pool.end(0)
    pool.look()
    (answer,) = pool.answers()
    with pytest.raises(WorkerLost):
        deserialize(answer["exception"]).reraise()


def test_a_death_is_told_at_once_with_its_signal_and_the_worker_replaced(make_pool: Callable[..., Pool]) -> None:
    pool = make_pool(workers=2)
    pool.look()
    pid = pool.end(1, signal.SIGTERM)
    pool.look()
    dead = [worker for worker in pool.beats()[-1]["workers"] if not worker.get("alive", True)]
    assert dead == [{"pid": pid, "alive": False, "signal": signal.SIGTERM}]
    assert pool.answers() == []
    assert pool.workers[1].pid != pid
    assert pool.workers[1].is_alive()


def test_all_tasks_of_dead_workers_are_answered_for_before_any_worker_is_started(
    make_pool: Callable[..., Pool], monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = make_pool(workers=2)
    answered: list[int] = []
    start = pool.start

    def started(number: int) -> BaseProcess:
        answered.append(len(pool.answers()))
        return start(number)

    monkeypatch.setattr(pool.agent, "_restart", started)
    for number in (0, 1):
        pool.give(number, 11 + number)
        pool.end(number)
    pool.look()
    assert answered == [2, 2]


def test_that_a_worker_starts_is_told_before_its_task_makes_room_for_another(make_pool: Callable[..., Pool]) -> None:
    pool = make_pool(workers=2)
    pool.look()
    assert [message for message in pool.sent if message["type"] == "start"] == []
    pool.give(1, 11)
    pool.end(1)
    pool.look()
    pool.look()
    told = [message for message in pool.sent if message["type"] in ("start", "result")]
    assert [message.get("worker", message.get("task_id")) for message in told] == [1, 11]


def test_the_successor_of_a_worker_that_never_began_waits(make_pool: Callable[..., Pool]) -> None:
    pool = make_pool(restart_period=30.0)
    pool.look()
    pid = pool.end(0)
    for _ in range(3):
        pool.look()
    assert pool.workers[0].pid == pid
    assert len(pool.beats()) == 2  # its death is told once


def test_the_successor_of_a_worker_that_had_a_task_does_not(make_pool: Callable[..., Pool]) -> None:
    pool = make_pool(restart_period=30.0)
    pool.look()
    pool.give(0, 11)
    pid = pool.end(0)
    pool.look()
    assert pool.workers[0].pid != pid


def test_a_worker_that_is_silent_after_its_walltime_is_ended(make_pool: Callable[..., Pool]) -> None:
    pool = make_pool()
    pool.give(0, 11, walltime=-10)  # over for ten seconds
    pool.look()
    (answer,) = pool.answers()
    seen = Observation.unpacked(deserialize(answer["result"]))
    with pytest.raises(AppTimeout, match="ended with its worker"):
        deserialize(seen.payload).reraise()
    assert seen.post_mortem is not None
    assert (seen.post_mortem["signal"], seen.post_mortem["limits"]["walltime"]) == (signal.SIGKILL, -10)


def test_one_whose_threads_run_is_left_to_itself(make_pool: Callable[..., Pool]) -> None:
    pool = make_pool()
    pool.give(0, 11, walltime=-10)
    pool.board.write(0, pool.board.read(0)._replace(ticked=time.monotonic()))
    pool.look()
    assert pool.answers() == []
    assert pool.workers[0].is_alive()


def test_one_that_ended_itself_for_its_walltime_is_answered_for_so(make_pool: Callable[..., Pool]) -> None:
    pool = make_pool()
    pool.give(0, 11, walltime=5)
    pool.board.write(0, pool.board.read(0)._replace(state=OVERTIME))
    pool.end(0)
    pool.look()
    (answer,) = pool.answers()
    with pytest.raises(AppTimeout):
        deserialize(Observation.unpacked(deserialize(answer["result"])).payload).reraise()
