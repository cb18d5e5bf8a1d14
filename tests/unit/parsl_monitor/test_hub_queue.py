from __future__ import annotations

import multiprocessing
import operator
import pickle
import threading
from multiprocessing import context
from multiprocessing.queues import Queue
from queue import Empty
from typing import Any

import pytest

from parsl_monitor.hub_queue import HubQueue, NodeRows


def test_a_put_in_this_process_is_a_call_in_the_same_thread() -> None:
    heard: list[tuple[Any, int]] = []
    queue = HubQueue(lambda message: heard.append((message, threading.get_ident())), hub=None)
    queue.put(("tag", 1))
    assert heard == [(("tag", 1), threading.get_ident())]
    queue.close()
    queue.join_thread()


def test_it_knows_its_hub() -> None:
    hub = object()
    queue = HubQueue(lambda message: None, hub)
    assert queue.hub is hub
    queue.close()
    queue.join_thread()


def test_it_is_pickled_for_a_child_process_only() -> None:
    queue = HubQueue(lambda message: None, hub=None)
    with pytest.raises(RuntimeError, match="inheritance"):
        pickle.dumps(queue)
    queue.close()
    queue.join_thread()


@pytest.mark.slow
def test_a_put_in_another_process_is_a_message_here() -> None:
    heard: list[Any] = []
    queue = HubQueue(heard.append, hub=threading.Lock())  # what cannot be pickled stays here
    # Nothing of this module, which a new process cannot import where only the wheel is installed.
    speak = operator.methodcaller("put", ("tag", {"from": "elsewhere"}))
    child = multiprocessing.get_context("spawn").Process(target=speak, args=(queue,))
    child.start()
    try:
        assert queue.get(timeout=30) == ("tag", {"from": "elsewhere"})
    finally:
        child.join(10)
        queue.close()
        queue.join_thread()
    assert heard == []
    assert child.exitcode == 0


def test_the_last_message_comes_behind_those_of_other_processes() -> None:
    queue = HubQueue(lambda message: None, hub=None)
    with pytest.raises(Empty):
        queue.get(timeout=0.0)  # no other process has it yet
    there = plain(queue)
    there.put(("tag", "from elsewhere"))
    assert queue.get(timeout=30) == ("tag", "from elsewhere")
    queue.put_last()
    assert queue.get(timeout=30) is None
    queue.close()
    queue.join_thread()


def plain(queue: HubQueue) -> Any:
    """The queue as a process gets it that Parsl spawns with it."""
    context.set_spawning_popen(object())  # type: ignore[arg-type]
    try:
        make, arguments = queue.__reduce__()
        return make(*arguments)
    finally:
        context.set_spawning_popen(None)


def test_there_it_is_the_plain_queue() -> None:
    queue = HubQueue(lambda message: None, hub=None)
    assert type(plain(queue)) is Queue
    queue.close()
    queue.join_thread()


def test_whoever_waits_for_other_processes_is_told_at_once_that_it_is_over() -> None:
    queue = HubQueue(lambda message: None, hub=None)
    heard: list[Any] = []
    waiting = threading.Thread(target=lambda: heard.append(queue.get(timeout=600)))
    waiting.start()
    queue.put_last()
    waiting.join(30)
    assert heard == [None]


def test_without_other_processes_it_takes_no_semaphore_and_no_process() -> None:
    found: list[Any] = []
    queue = HubQueue(found.append, hub=None)
    queue.put(("tag", "here"))
    queue.put_last()
    assert queue.get(timeout=0.0) is None
    queue.close()
    queue.join_thread()
    assert found == [("tag", "here")]
    assert not hasattr(queue, "_sem")


def test_of_a_manager_s_reports_parsl_s_own_are_those_that_tell_of_a_change() -> None:
    rows = NodeRows()

    def report(uid: str = "a", tasks: tuple[int, ...] = (), *, active: bool = True, draining: bool = False) -> bool:
        return rows.is_one({"uid": uid, "tasks": list(tasks), "active": active, "draining": draining, "block_id": "0"})

    assert [report(), report(), report(tasks=(1,)), report(tasks=(1,)), report()] == [True, False, True, False, True]
    assert [report("b"), report("b"), report()] == [True, False, False]
    assert [report(draining=True), report(active=False), report(active=False)] == [True, True, False]
