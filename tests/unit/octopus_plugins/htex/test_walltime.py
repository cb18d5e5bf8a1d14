from __future__ import annotations

import ctypes
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from parsl.app.errors import AppTimeout
from parsl.app.python import timeout

from octopus_plugins.htex.worker import walltime
from octopus_plugins.htex.worker.walltime import SIGNAL, Guard


class Calls:
    """What a guard did."""

    def __init__(self) -> None:
        self.ticks = 0
        self.calm = threading.Event()
        self.ended = threading.Event()

    def guard(self, seconds: float) -> Guard:
        return Guard(seconds, tick=self._tick, calm=self.calm.set, end=self.ended.set)

    def _tick(self) -> None:
        self.ticks += 1


@pytest.fixture
def calls() -> Iterator[Calls]:
    yield Calls()
    for thread in threading.enumerate():
        if thread.name == "octopus-walltime":
            thread.join(timeout=30)
            assert not thread.is_alive()


def block_for(seconds: float) -> None:
    time.sleep(seconds)


def run(calls: Calls, seconds: float, function: Callable[..., Any], *args: Any) -> Any:
    with calls.guard(seconds):
        return timeout(function, seconds)(*args)


def test_a_blocking_call_meets_parsl_s_timeout(calls: Calls) -> None:
    began = time.monotonic()
    with pytest.raises(AppTimeout):
        run(calls, 0.2, block_for, 30)
    assert time.monotonic() - began < 10
    assert not calls.ended.is_set()


def test_what_ends_in_time_gets_no_signal(calls: Calls) -> None:
    run(calls, 30, block_for, 0.01)
    assert calls.ticks == 0


@pytest.mark.parametrize("before", [signal.SIG_DFL, signal.SIG_IGN, lambda number, frame: None])
def test_the_handler_that_was_there_is_there_again(calls: Calls, before: Any) -> None:
    known = signal.signal(SIGNAL, before)
    try:
        with calls.guard(30):
            assert signal.getsignal(SIGNAL) != before
        assert signal.getsignal(SIGNAL) == before
    finally:
        signal.signal(SIGNAL, known)


def test_a_handler_that_the_task_sets_stays(calls: Calls) -> None:
    def own(number: int, frame: Any) -> None:
        pass

    known = signal.getsignal(SIGNAL)
    try:
        with calls.guard(30):
            signal.signal(SIGNAL, own)
        assert signal.getsignal(SIGNAL) is own
    finally:
        signal.signal(SIGNAL, known)


def test_time_before_the_function_is_called_does_not_count(calls: Calls) -> None:
    with calls.guard(0.1):
        time.sleep(1.5)  # as Parsl's worker that reads the arguments
        assert timeout(lambda: "well", 5)() == "well"
    assert calls.ticks > 0
    assert not calls.calm.is_set()


def test_a_function_that_caught_the_timeout_is_left_alone(calls: Calls) -> None:
    def clean_up() -> str:
        try:
            time.sleep(30)
        except AppTimeout:
            assert calls.calm.wait(10)
            return "cleaned up"
        return "not ended"

    assert run(calls, 0.2, clean_up) == "cleaned up"


def test_code_that_does_not_return_to_the_interpreter_is_given_up(
    calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walltime, "GRACE", 0.5)
    libc = ctypes.CDLL(None)
    lock = ctypes.create_string_buffer(128)
    libc.pthread_mutex_init(lock, None)
    libc.pthread_mutex_lock(lock)

    def free() -> None:
        calls.ended.wait(20)
        libc.pthread_mutex_unlock(lock)

    freer = threading.Thread(target=free)
    freer.start()
    with pytest.raises(AppTimeout):  # which still waits, once the lock is free
        run(calls, 0.2, libc.pthread_mutex_lock, lock)
    freer.join()
    assert calls.ended.is_set()
    assert not calls.calm.is_set()


def test_outside_of_the_main_thread_nothing_is_armed(calls: Calls) -> None:
    known = signal.getsignal(SIGNAL)
    seen: list[Any] = []

    def task() -> None:
        with calls.guard(30):
            seen.append(signal.getsignal(SIGNAL))

    thread = threading.Thread(target=task)
    thread.start()
    thread.join()
    assert seen == [known]
