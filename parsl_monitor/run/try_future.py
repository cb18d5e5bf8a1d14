"""How a try ends: what its executor or its worker says, passed on to the future that Parsl holds."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, InvalidStateError
from functools import partial
from typing import TYPE_CHECKING, Any

from parsl.app.errors import RemoteExceptionWrapper
from parsl.serialize.errors import DeserializationError

from octopus_plugins.htex.observation import Observation
from parsl_monitor.run.attempts import Attempt

if TYPE_CHECKING:
    from parsl_monitor.hub import OctopusMonitoringHub

_claiming = threading.Lock()  # one for all: it is held for an assignment


class TryFuture(Future):  # type: ignore[type-arg]
    """The future of one try, which Parsl holds. It has exactly one outcome: what comes later is ignored.

    Parsl adds a callback to it that carries the task's record, and so the DataFlowKernel: that is how the hub learns
    both, from the first launch on. Where the try fails, the hub may hold the outcome back until its decision is there.

    Args:
        attempt: The submission.
        hub: The run's hub; None where there is none.

    Raises:
        RunHaltedError: The run was stopped: nothing is submitted any more.
    """

    def __init__(self, attempt: Attempt, hub: OctopusMonitoringHub | None = None) -> None:
        if hub is not None:
            hub.halts.refuse()
        super().__init__()
        self._attempt: Attempt | None = attempt
        self._hub = hub
        self._known = False  # whether Parsl has added its callback
        self._claimed = False
        self._when_known: Callable[[], None] | None = None

    def when_known(self, then: Callable[[], None]) -> None:
        """Have something done as soon as Parsl has named the task.

        Args:
            then: What to do.
        """
        self._when_known = then

    def add_done_callback(self, fn: Callable[[Any], Any]) -> None:
        """Add a callback, and learn the task's record from Parsl's own."""
        record = _task_record(fn)
        if record is not None and self._hub is not None and self._attempt is not None:
            self._attempt.record = record
            self._hub.launched(self._attempt)
        super().add_done_callback(fn)
        if record is not None:
            self._known = True
            if self._when_known is not None:
                self._when_known()
            if self.done():
                self._let_go()

    def set_result(self, result: Any) -> None:
        """End the try with a result, or with the error that Parsl wrapped as one, unless it has ended."""
        if self._claim():
            attempt = self._attempt if isinstance(result, RemoteExceptionWrapper) else None
            error = attempt.exception if attempt is not None else None
            self._end(error, partial(super().set_result, result))

    def set_exception(self, exception: BaseException | None) -> None:
        """End the try with an error, unless it has ended."""
        if self._claim():
            self._end(exception, partial(super().set_exception, exception))

    def _claim(self) -> bool:
        with _claiming:
            claimed, self._claimed = self._claimed, True
        return not claimed

    def _end(self, error: BaseException | None, end: Callable[[], None]) -> None:
        def release() -> None:
            with contextlib.suppress(InvalidStateError):  # somebody cancelled it
                end()
            if self._known:
                self._let_go()

        attempt = self._attempt
        if error is None or attempt is None or self._hub is None or not self._hub.hold(attempt, error, release):
            release()

    def _let_go(self) -> None:
        """Keep nothing of a try that is over: Parsl keeps this future as long as the user keeps the task's."""
        self._attempt = self._when_known = None


def _task_record(callback: Callable[[Any], Any]) -> Any:
    """The task's record, where a callback is the one that Parsl adds: ``partial(handle_exec_update, record)``."""
    if isinstance(callback, partial) and getattr(callback.func, "__name__", "") == "handle_exec_update":
        record = callback.args[0] if callback.args else None
        if isinstance(record, dict) and "dfk" in record:
            return record
    return None


@contextlib.contextmanager
def errors_to(outer: Future[Any]) -> Iterator[None]:
    """What is raised here belongs to the task's future: ``concurrent.futures`` would swallow it, and the task hang."""
    try:
        yield
    except Exception as error:  # noqa: BLE001
        if not outer.done():
            outer.set_exception(error)


def deliver(packed: Any, attempt: Attempt, outer: Future[Any]) -> None:
    """Pass on what an observed worker returned, and note in the attempt what it saw."""
    if outer.done():
        return  # the try was given up; what it came to is of no use any more
    try:
        observation = Observation.unpacked(packed)
        attempt.place = observation.place
        attempt.started = observation.started
        attempt.ended = observation.ended
        attempt.usage = {**(attempt.usage or {}), **observation.usage}
        attempt.post_mortem = observation.post_mortem
        result = observation.result(packed)
        if isinstance(result, RemoteExceptionWrapper):
            attempt.exception = result.get_exception()
    except Exception as error:  # noqa: BLE001 - whatever a foreign pickle raises is this task's failure alone
        attempt.unreadable = True
        attempt.exception = DeserializationError(f"the task's result cannot be read on the submit side: {error}")
        attempt.exception.__cause__ = error
        outer.set_exception(attempt.exception)
        return
    outer.set_result(result)


def copy(attempt: Attempt, inner: Future[Any]) -> None:
    """Pass on what the executor says of a try that nobody observed, or that never returned."""
    outer = attempt.outer
    if outer is None or outer.done():
        return
    with errors_to(outer):
        error = inner.exception()
        if error is not None:
            attempt.exception = error
            outer.set_exception(error)
            return
        result = inner.result()
        if isinstance(result, RemoteExceptionWrapper):
            attempt.exception = result.get_exception()
        outer.set_result(result)
