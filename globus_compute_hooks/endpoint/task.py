"""One task on its way through the engine: tried, told, and tried again where the policy says so."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, cast

from globus_compute_common import messagepack
from globus_compute_common.messagepack.message_types import Result, TaskTransition
from globus_compute_common.tasks import ActorName, TaskState
from globus_compute_endpoint.engines.base import GCExecutorFuture, GCFuture

from globus_compute_hooks.endpoint.attempts import Attempt
from globus_compute_hooks.endpoint.observation import Observation, of_agent, unpacked
from globus_compute_hooks.endpoint.session import Session
from octopus_plugins.events import Decision, Failure
from octopus_plugins.frameworks import failure_text
from octopus_plugins.htex.steering import steering_of

if TYPE_CHECKING:
    from globus_compute_hooks.endpoint.engine import OctopusEngine

_OURS = frozenset({"globus_compute_hooks", "octopus_plugins", "msgspec"})
"""What a worker must be able to import to observe its tasks."""


class Trial:
    """The tries of one task.

    Args:
        engine: The engine.
        session: The session of the endpoint.
        attempt: The task.
        future: What the endpoint waits for.
        submit: Hands the task to the executor.
        retries: How often the host itself would try again.
    """

    def __init__(
        self,
        engine: OctopusEngine,
        session: Session,
        attempt: Attempt,
        future: GCFuture,
        submit: Callable[[], GCExecutorFuture],
        retries: int,
    ) -> None:
        self._engine, self._session, self._attempt = engine, session, attempt
        self._future, self._submit, self._retries = future, submit, retries

    def run(self) -> None:
        """Try once; what comes of it is taken care of."""
        self._begun = TaskTransition(
            timestamp=time.time_ns(), actor=ActorName.INTERCHANGE, state=TaskState.WAITING_FOR_LAUNCH
        )
        try:
            self._session.launched(self._attempt, time.time())
        except Exception:  # noqa: BLE001 - the border: the task is tried as if we were not there
            self._engine.octopus_broken()
        self._hand_over()

    def _hand_over(self) -> None:
        try:
            work = self._submit()
            self._future.executor_task_id = work.executor_task_id
            self._session.attempts.sent(self._attempt, work.executor_task_id)
        except Exception as error:  # noqa: BLE001 - as in the host: what its executor refuses has failed
            work = GCExecutorFuture()
            work.set_exception(error)
        work.add_done_callback(self._done)

    def _done(self, work: Future[Any]) -> None:
        """The executor is done with a try. Runs in its threads: what were raised here would be swallowed."""
        try:
            answer = self._outcome(work)
        except Exception:  # noqa: BLE001 - the border: the task is answered as if we were not there
            self._engine.octopus_broken()
            self._session.forget(self._attempt)
            answer = self._as_the_host(work)
        if answer is not None:
            self._future.set_result(answer)

    def _outcome(self, work: Future[Any]) -> bytes | None:
        """The packed result for the web service; None where the task is tried again."""
        error = _raised(work)
        if error is not None:
            if _lacks_us(error):
                self._run_unobserved()
                return None
            return self._failed_in_engine(error)
        value = work.result()
        if (lost := of_agent(value)) is not None:
            return self._failed_in_engine(*lost)
        packed, seen = unpacked(value)
        if seen is not None and not seen.failed:
            self._session.succeeded(self._attempt, seen)
            return bytes(packed)
        answer = cast("Result", messagepack.unpack(packed))
        if not answer.is_error:
            self._session.succeeded(self._attempt, seen)
            return bytes(packed)
        return self._failed_on_worker(answer, packed, seen)

    def _failed_on_worker(self, answer: Result, packed: bytes, seen: Observation | None) -> bytes | None:
        failure, decision = self._session.failed(self._attempt, seen=seen, text=str(answer.data))
        self._engine.octopus_steer()
        if decision.mode == "passive":
            return packed
        if decision.action == "retry":
            self._again(decision)
            return None
        return _explained(answer, failure, decision)

    def _failed_in_engine(self, error: Exception, seen: Observation | None = None) -> bytes | None:
        attempt = self._attempt
        attempt.errors.append(error)
        host_retries = len(attempt.errors) <= self._retries
        failure, decision = self._session.failed(attempt, error=error, seen=seen, host_retries=host_retries)
        self._engine.octopus_steer()
        if decision.mode == "passive":
            if host_retries:
                self._again()
                return None
            return bytes(messagepack.pack(self._host_answer()))
        if decision.action == "retry":
            self._again(decision)
            return None
        return _explained(self._host_answer(), failure, decision)

    def _again(self, decision: Decision | None = None) -> None:
        """Try again, where and when the decision says; without one as the host does it, at once and anywhere."""
        placement = None if decision is None else decision.placement
        self._attempt.next_try(None if placement is None else steering_of(placement))
        self._engine.octopus_later(0.0 if decision is None else decision.delay, self.run)

    def _run_unobserved(self) -> None:
        self._engine.octopus_unobserved(ever_seen=self._session.ever_seen)
        self._session.attempts.returned(self._attempt)
        self._attempt.observed = False
        self._engine.octopus_later(0.0, self._hand_over)

    def _host_answer(self) -> Result:
        answer = self._engine._handle_task_exception(
            task_id=self._future.gc_task_id, execution_begin=self._begun, exception_history=self._attempt.errors
        )
        return cast("Result", answer)

    def _as_the_host(self, work: Future[Any]) -> bytes:
        error = _raised(work)
        if error is None:
            value = work.result()
            if (lost := of_agent(value)) is not None:
                self._attempt.errors = self._attempt.errors or [lost[0]]
                return bytes(messagepack.pack(self._host_answer()))
            return bytes(value[1] if isinstance(value, tuple) else value)
        self._attempt.errors = self._attempt.errors or [error]
        return bytes(messagepack.pack(self._host_answer()))


def _explained(answer: Result, failure: Failure, decision: Decision) -> bytes:
    """A failed result that says what broke, where, what was decided and why."""
    told = failure_text.told(str(answer.data), failure, decision)
    return bytes(messagepack.pack(answer.model_copy(update={"data": told})))


def _raised(work: Future[Any]) -> Exception | None:
    """What a try failed with. Raised once, as in the host, which wants every error to have a traceback."""
    try:
        work.result()
    except Exception as error:  # noqa: BLE001 - as in the host
        return error
    return None


def _lacks_us(error: BaseException) -> bool:
    """Whether the worker failed to import our function, and so never touched the task."""
    return isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] in _OURS
