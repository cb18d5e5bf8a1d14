"""How a try ends: what its executor or its worker says, passed on to the future that Parsl holds."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from functools import partial
from typing import TYPE_CHECKING, Any

from parsl.app.errors import RemoteExceptionWrapper
from parsl.serialize.errors import DeserializationError

from octopus_plugins.events.exceptions import exception_info
from octopus_plugins.htex.observation import Observation
from octopus_plugins.tracebacks import forget_traceback
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
            is_error = isinstance(result, RemoteExceptionWrapper)
            if not (is_error and self._holds(super().set_result, result)):
                self._end(super().set_result, result)

    def set_exception(self, exception: BaseException | None) -> None:
        """End the try with an error, unless it has ended."""
        if self._claim() and not self._holds(super().set_exception, exception):
            self._end(super().set_exception, exception)

    def _claim(self) -> bool:
        with _claiming:
            claimed, self._claimed = self._claimed, True
        return not claimed

    def _holds(self, settle: Callable[[Any], None], failed: Any) -> bool:
        """Note what the try failed with. Whether the hub holds it back."""
        attempt = self._attempt
        if attempt is None or self._hub is None:
            return False
        attempt.failed = failed
        return failed is not None and self._hub.hold(attempt, partial(self._end, settle, failed))

    def _end(self, settle: Callable[[Any], None], outcome: Any) -> None:
        # Parsl makes the task's exception in here: what stands in frames above lives as long as users keep that.
        with contextlib.suppress(InvalidStateError):  # somebody cancelled it
            settle(outcome)
        if self._known:
            self._untie(outcome)
            self._let_go()

    def _untie(self, outcome: Any) -> None:
        """Free at once what a try failed with that is tried again.

        Its traceback leads to the frames of Parsl's threads, and these lead back to it: the garbage collector would
        have to find that circle, and where many tries fail, it takes longer than all else.
        """
        attempt = self._attempt
        if attempt is None or attempt.record is None or self._hub is None or not self._hub.only_reader:
            return
        task = attempt.record.get("app_fu")
        if isinstance(outcome, RemoteExceptionWrapper) and task is not None and not task.done():
            forget_traceback(outcome.e_value)

    def _let_go(self) -> None:
        """Keep nothing of a try that is over: Parsl keeps this future as long as the user keeps the task's."""
        attempt, self._attempt, self._when_known = self._attempt, None, None
        if attempt is not None:
            attempt.forget()


def _task_record(callback: Callable[[Any], Any]) -> Any:
    """The task's record, where a callback is the one that Parsl adds: ``partial(handle_exec_update, record)``."""
    if isinstance(callback, partial) and getattr(callback.func, "__name__", "") == "handle_exec_update":
        record = callback.args[0] if callback.args else None
        if isinstance(record, dict) and "dfk" in record:
            return record
    return None


class ErrorsTo:
    """What is raised within belongs to a task's future: ``concurrent.futures`` would swallow it, and the task hang.

    Args:
        outer: The future.
    """

    __slots__ = ("_outer",)

    def __init__(self, outer: Future[Any]) -> None:
        self._outer = outer

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if error is None or isinstance(error, KeyboardInterrupt):
            return False  # all else a stranger's class may have raised, SystemExit too: Parsl's thread would end
        if not self._outer.done():
            # Parsl's own callback takes an Exception, and its thread would end with anything else.
            self._outer.set_exception(error if isinstance(error, Exception) else unreadable(error))
        return True


def read(packed: Any, attempt: Attempt) -> tuple[Any, Exception | None]:
    """What an observed worker returned, or why it cannot be read; notes in the attempt what the worker saw."""
    try:
        observation = Observation.unpacked(packed)
        attempt.place = observation.place
        attempt.started = observation.started
        attempt.ended = observation.ended
        attempt.usage = {**attempt.usage, **observation.usage} if attempt.usage else observation.usage
        attempt.post_mortem = observation.post_mortem
        return observation.result(packed), None
    except BaseException as error:  # noqa: BLE001 - whatever a foreign pickle raises is this task's failure alone
        attempt.unreadable = True
        return None, unreadable(error)


def unreadable(error: BaseException) -> DeserializationError:
    """The error of a task whose result cannot be read, for whatever reading it raised."""
    said = exception_info(error).message
    unread = DeserializationError(f"the task's result cannot be read on the submit side: {said}")
    unread.__cause__ = error
    return unread


def copy(attempt: Attempt, inner: Future[Any]) -> None:
    """Pass on what the executor says of a try that nobody observed, or that never returned."""
    outer = attempt.outer
    if outer is None or outer.done():
        return
    with ErrorsTo(outer):
        error = inner.exception()
        if error is not None:
            outer.set_exception(error)
        else:
            outer.set_result(inner.result())
