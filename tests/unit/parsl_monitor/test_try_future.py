"""One outcome per try, whoever is first."""

from __future__ import annotations

import asyncio
import sys
import threading
import weakref
from concurrent.futures import Future
from functools import partial
from typing import Any

import pytest
from parsl.app.errors import RemoteExceptionWrapper
from parsl.serialize import serialize
from parsl.serialize.errors import DeserializationError

from octopus_plugins.htex.observation import Observation
from parsl_monitor.errors import RunHaltedError
from parsl_monitor.run.attempts import Attempt
from parsl_monitor.run.cancellation import Halts
from parsl_monitor.run.try_future import ErrorsTo, TryFuture, copy, read


class FakeHub:
    """Holds what it is told to, and notes what it learns."""

    def __init__(self, *, holds: bool = False) -> None:
        self.halts = Halts()
        self.holds = holds
        self.only_reader = True
        self.held: list[tuple[BaseException, Any]] = []
        self.records: list[Any] = []

    def launched(self, attempt: Attempt) -> None:
        self.records.append(attempt.record)

    def hold(self, attempt: Attempt, release: Any) -> bool:
        error = attempt.error()
        assert error is not None
        self.held.append((error, release))
        return self.holds


def begin(hub: FakeHub | None = None) -> tuple[Attempt, TryFuture]:
    attempt = Attempt("small")
    outer = TryFuture(attempt, hub)  # type: ignore[arg-type]
    attempt.outer = outer
    return attempt, outer


class Dfk:
    def handle_exec_update(self, record: dict[str, Any], future: Future[Any]) -> None:
        record["seen"] = future


def test_the_first_outcome_stands_and_later_ones_are_ignored() -> None:
    error = ValueError("lost")
    for first, expected in ((("exception", error), error), (("result", 1), None)):
        _, outer = begin()
        getattr(outer, f"set_{first[0]}")(first[1])
        outer.set_result(2)
        outer.set_exception(KeyError("late"))
        assert outer.exception(timeout=0) is expected
        if expected is None:
            assert outer.result(timeout=0) == 1


def test_of_many_threads_that_end_a_try_one_does() -> None:
    for _ in range(50):
        _, outer = begin()
        calls: list[Any] = []
        outer.add_done_callback(calls.append)
        barrier = threading.Barrier(4)

        def end(number: int, outer: TryFuture = outer, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            outer.set_result(number)

        threads = [threading.Thread(target=end, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(calls) == 1


def test_what_a_lost_try_comes_to_later_is_not_passed_on() -> None:
    attempt, outer = begin()
    error = ValueError("counts as lost")
    outer.set_exception(error)
    inner: Future[Any] = Future()
    inner.set_result("late")
    copy(attempt, inner)
    assert outer.exception() is error


def test_parsl_s_callback_tells_the_hub_the_task_s_record() -> None:
    hub = FakeHub()
    attempt, outer = begin(hub)
    record: dict[str, Any] = {"dfk": object(), "id": 7}
    outer.add_done_callback(partial(Dfk().handle_exec_update, record))
    assert attempt.record is record
    assert hub.records == [record]
    outer.set_result(1)
    assert record["seen"] is outer


def test_other_callbacks_tell_nothing() -> None:
    hub = FakeHub()
    attempt, outer = begin(hub)
    outer.add_done_callback(lambda future: None)
    outer.add_done_callback(partial(Dfk().handle_exec_update, {"no": "dfk"}))
    outer.add_done_callback(partial(print, {"dfk": object()}))
    assert attempt.record is None
    assert hub.records == []


def test_a_failure_that_the_hub_holds_is_settled_when_it_releases_it() -> None:
    hub = FakeHub(holds=True)
    _, outer = begin(hub)
    error = ValueError("x")
    outer.set_exception(error)
    assert not outer.done()
    outer.set_result("late")  # held is as good as ended
    assert not outer.done()
    ((held, release),) = hub.held
    assert held is error
    release()
    release()
    assert outer.exception(timeout=0) is error


def test_an_error_that_parsl_wrapped_as_a_result_is_a_failure_too() -> None:
    hub = FakeHub(holds=True)
    _, outer = begin(hub)
    error = ValueError("x")
    wrapped = RemoteExceptionWrapper(ValueError, error, None)
    outer.set_result(wrapped)
    ((held, release),) = hub.held
    assert held is error
    release()
    assert outer.result(timeout=0) is wrapped


@pytest.mark.parametrize("ends", ["before Parsl asks", "after Parsl asks"])
def test_a_try_that_is_over_is_not_kept_by_the_future_that_parsl_keeps(ends: str) -> None:
    class Place(dict[str, Any]):
        """Can be referred to weakly."""

    hub = FakeHub()
    attempt, outer = begin(hub)
    attempt.place = Place(host="node1")
    seen = weakref.ref(attempt.place)
    callback = partial(Dfk().handle_exec_update, {"dfk": object()})
    if ends == "before Parsl asks":
        outer.set_result(1)
        assert hub.records == []
        outer.add_done_callback(callback)
        assert len(hub.records) == 1, "the hub learns of it all the same"
    else:
        outer.add_done_callback(callback)
        outer.set_result(1)
    del attempt
    assert seen() is None
    assert outer.result() == 1


class Seen(dict[str, Any]):
    """Can be referred to weakly."""


class Parsl:
    """Does with what a try failed with what Parsl does, and ends the task or tries again."""

    def __init__(self, *, again: bool) -> None:
        self.again = again
        self.record: dict[str, Any] = {"dfk": self, "app_fu": Future()}

    def handle_exec_update(self, record: dict[str, Any], future: Future[Any]) -> None:
        try:
            future.result().reraise()
        except ValueError as error:
            if not self.again:
                record["app_fu"].set_exception(error)

    def end(self, hub: FakeHub) -> tuple[BaseException, weakref.ref[Seen]]:
        """Have a try fail; returns its exception, and whether what was seen of it is still there."""
        attempt, outer = begin(hub)
        attempt.post_mortem = Seen()
        seen = weakref.ref(attempt.post_mortem)
        outer.add_done_callback(partial(self.handle_exec_update, self.record))
        wrapped = RemoteExceptionWrapper(ValueError, ValueError("x"), None)
        outer.set_result(wrapped)
        return wrapped.e_value, seen


def test_a_user_who_keeps_the_exception_does_not_keep_what_was_seen_of_the_try() -> None:
    error, seen = Parsl(again=False).end(FakeHub())
    assert error.__traceback__ is not None, "it is the user's"
    assert seen() is None


def test_the_exception_of_a_try_that_is_tried_again_is_freed_without_the_garbage_collector() -> None:
    error, seen = Parsl(again=True).end(FakeHub())
    assert error.__traceback__ is None
    assert seen() is None


def test_what_a_user_s_own_retry_handler_may_have_kept_stays_as_it_was() -> None:
    hub = FakeHub()
    hub.only_reader = False
    error, _ = Parsl(again=True).end(hub)
    assert error.__traceback__ is not None


def test_a_good_result_is_never_held() -> None:
    hub = FakeHub(holds=True)
    _, outer = begin(hub)
    outer.set_result(1)
    assert outer.result(timeout=0) == 1
    assert hub.held == []


def test_a_cancelled_try_takes_no_outcome() -> None:
    _, outer = begin()
    assert outer.cancel()
    outer.set_result(1)
    assert outer.cancelled()


def test_a_stopped_run_begins_no_try() -> None:
    hub = FakeHub()
    hub.halts.stop_run("enough")
    with pytest.raises(RunHaltedError, match="enough"):
        begin(hub)


class Exits:
    """What was pickled as this asks for the end of the process where it is read."""

    def __reduce__(self) -> Any:
        return sys.exit, (3,)


def test_a_result_that_exits_where_it_is_read_is_its_task_s_failure_alone() -> None:
    attempt = Attempt("small")
    result, error = read(Observation(serialize(Exits()), {}, 1.0, 2.0, {}, None).packed(), attempt)
    assert result is None and attempt.unreadable
    assert isinstance(error, DeserializationError) and isinstance(error.__cause__, SystemExit)


@pytest.mark.parametrize("raised", [SystemExit(3), asyncio.CancelledError(), ValueError("no")])
def test_what_is_raised_on_the_way_to_a_future_is_an_exception_there(raised: BaseException) -> None:
    outer: Future[Any] = Future()
    with ErrorsTo(outer):
        raise raised
    error = outer.exception()
    assert isinstance(error, Exception)
    assert error is raised or error.__cause__ is raised
