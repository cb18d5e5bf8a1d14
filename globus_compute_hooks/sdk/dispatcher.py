"""Carries out what an OctopusExecutor is asked for: submits, hears of results, and does what is decided of failures."""

from __future__ import annotations

import concurrent.futures
import copy
import itertools
import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import InvalidStateError
from functools import partial
from typing import Any

from globus_compute_sdk import Executor
from globus_compute_sdk.errors import TaskExecutionFailed
from globus_compute_sdk.sdk.asynchronous.compute_future import ComputeFuture
from globus_compute_sdk.sdk.utils.uuid_like import as_uuid

from globus_compute_hooks.errors import EndpointUnusableError
from globus_compute_hooks.sdk.endpoint_client import Sender, Senders, is_watched, unwatch
from globus_compute_hooks.sdk.endpoint_status import EndpointStatus
from globus_compute_hooks.sdk.endpoint_watch import EndpointWatch
from globus_compute_hooks.sdk.failures import GLOBUS_ERROR, explained, is_a, judged
from globus_compute_hooks.sdk.liveness import Suspicion
from globus_compute_hooks.sdk.recorder import Diary
from globus_compute_hooks.sdk.submission import Submission
from octopus_plugins.config import OctopusConfig
from octopus_plugins.events import Decision
from octopus_plugins.frameworks.timers import Delays

logger = logging.getLogger("octopus_plugins")

_SWEEP = 1.0
"""Seconds after the death of a sender in which what was just being handed to it is found."""


class Dispatcher:
    """The tasks of one executor, from their submission to their answer. Thread-safe.

    The threads of the SDK that bring results only hand over here; what takes thought is done in a thread of ours.

    Args:
        owner: The executor whose options hold.
        diary: Where it is told what happens, and what to do about failures.
        config: Where heartbeats of endpoints are heard; None does not listen.
        steps: What is different at an endpoint, by its id.
    """

    def __init__(
        self, owner: Executor, diary: Diary, config: OctopusConfig | None, steps: Mapping[str, Mapping[str, Any]]
    ) -> None:
        self._owner, self._diary, self._steps = owner, diary, steps
        self._lock = threading.RLock()
        self._numbers = itertools.count()
        self._open: dict[str, Submission] = {}
        self._by_inner: dict[int, Submission] = {}
        self._senders = Senders(owner, self._taken, self._died)
        self._delays = Delays("octopus-submissions-later")
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._complained = False
        self._speculates = diary.policy.stragglers.speculate
        self._status = EndpointStatus(lambda endpoint: str(owner.client.get_endpoint_status(endpoint)["status"]))
        self._watch = None
        if config is not None:
            self._watch = EndpointWatch(
                config, diary.run_id, lambda: len(self._open), self._given, self._beat, self._suspect
            )
        self._thread: threading.Thread | None = None

    # -- what the executor asks ---------------------------------------------------------------------------------------

    def submit(self, function_id: str, args: tuple[Any, ...], kwargs: dict[str, Any], app: str | None) -> ComputeFuture:
        """Submit a call with the owner's options as they are now.

        Raises:
            ValueError: The function's id is none.
        """
        as_uuid(function_id)
        owner = self._owner
        options = {
            "resource_specification": copy.deepcopy(owner.resource_specification),
            "user_endpoint_config": copy.deepcopy(owner.user_endpoint_config),
            "result_serializers": [strategy.import_path for strategy in owner._validated_result_serializers],
            "task_group_id": owner.task_group_id,
        }
        endpoint = str(owner.endpoint_id)
        submission = Submission(
            task_id=str(next(self._numbers)),
            future=ComputeFuture(),
            function_id=function_id,
            app=app,
            args=args,
            kwargs=kwargs,
            asked=options,
            options={**options, **self._steps.get(endpoint, {})},
            endpoint=endpoint,
            submitted=time.time(),
        )
        submission.future._metadata["octopus"] = {"run_id": self._diary.run_id, "task_id": submission.task_id}
        with self._lock:
            self._begin()
            self._open[submission.task_id] = submission
        self._tell(submission, "pending", submission.submitted)
        self._send_now(submission, submission.try_id)
        submission.future.add_done_callback(partial(self._answered, submission))
        return submission.future

    def sent(self) -> int:
        """How many tasks the web service has taken."""
        return self._senders.sent()

    def shutdown(self, *, wait: bool, cancel_futures: bool) -> None:
        """Answer what is open, and end.

        Args:
            wait: Whether to return only then; else a thread sees to it.
            cancel_futures: Whether what the web service has not yet taken is cancelled.
        """
        if cancel_futures:
            for submission in self._opened():
                if submission.compute_id is None:
                    submission.future.cancel()
        if wait:
            self._finish()
        else:
            # No daemon: as with the SDK, a process ends when its tasks are answered.
            threading.Thread(target=self._finish, name="octopus-submissions-end").start()

    # -- sending ------------------------------------------------------------------------------------------------------

    def _send(self, submission: Submission, try_id: int) -> None:
        """Hand a try to its endpoint's sender."""
        with self._lock:
            if submission.over or submission.try_id != try_id:
                return
            wait = self._senders.wait(submission.endpoint)
            if wait > 0:
                self._later(wait, submission, try_id)
                return
            submission.sender = sender = self._senders.of(submission.endpoint)
            submission.inner = inner = sender.send(submission)
            self._by_inner[id(inner)] = submission
            endpoint = submission.endpoint
        inner.add_done_callback(partial(self._ended, submission, try_id, endpoint))

    def _send_now(self, submission: Submission, try_id: int) -> None:
        try:
            self._send(submission, try_id)
        except Exception as error:  # noqa: BLE001 - what the SDK raises here is a failure of this try
            self._work.put(partial(self._failed, submission, try_id, error))

    def _later(self, delay: float, submission: Submission, try_id: int) -> None:
        self._delays.call(delay, lambda: self._work.put(partial(self._send_now, submission, try_id)))

    def _taken(self, futures: list[ComputeFuture]) -> None:
        """The web service has taken tries. Runs in the SDK's submitting thread."""
        now, given = time.time(), time.monotonic()
        for inner in futures:
            with self._lock:
                submission = self._by_inner.get(id(inner))
                if submission is None or submission.inner is not inner or submission.over:
                    # The SDK is about to listen for what nobody wants any more.
                    self._delays.call(_SWEEP, partial(unwatch, inner))
                    continue
                submission.user_endpoint = str(inner._metadata["endpoint_uuid"])
                submission.launched, submission.given = now, given
                if self._owner.task_group_id is None:
                    self._owner.task_group_id = inner._metadata["task_group_uuid"]
                outer = submission.future
                outer._metadata.update(inner._metadata)
                outer.task_id = inner.task_id
            self._tell(submission, "launched", now)

    def _died(self, sender: Sender) -> None:
        """A sender takes no more tasks. Runs in the SDK's submitting thread."""
        self._delays.call(_SWEEP, partial(self._sweep, sender))

    def _sweep(self, sender: Sender) -> None:
        """Find what was being handed to a sender, or over to the SDK's listener, at the moment when the sender died."""
        for submission in self._opened():
            inner = submission.inner
            if submission.sender is not sender or inner is None or inner.done():
                continue
            if not inner.running():
                inner.cancel()
            elif not is_watched(inner):
                why = sender.error or RuntimeError("the SDK's executor ended before it listened for the result")
                _settle(inner, partial(inner.set_exception, why))

    # -- answers ------------------------------------------------------------------------------------------------------

    def _ended(self, submission: Submission, try_id: int, endpoint: str, inner: concurrent.futures.Future[Any]) -> None:
        """The SDK is done with a try. Runs in its threads, which are not to be held up."""
        if inner.cancelled():
            self._work.put(partial(self._unsent, submission, try_id))
        elif (error := inner.exception()) is not None:
            self._work.put(partial(self._failed, submission, try_id, error))
        else:
            self._succeeded(submission, try_id, endpoint, inner)

    def _unsent(self, submission: Submission, try_id: int) -> None:
        """The sender died with the try in its queue: what it died of holds for it too, if the web service said it."""
        sender = submission.sender
        if sender is not None and is_a(sender.error, GLOBUS_ERROR):
            self._failed(submission, try_id, sender.error)
        else:
            self._send_now(submission, try_id)

    def _succeeded(self, submission: Submission, try_id: int, endpoint: str, inner: Any) -> None:
        """The first result is the task's, whichever try it is of."""
        with self._lock:
            if submission.over:
                return
            submission.over = True
            if try_id != submission.try_id:
                submission.back_to(try_id, endpoint, inner)
                submission.future.task_id = inner.task_id
        self._tell(submission, "exec_done", time.time())
        _settle(submission.future, lambda: submission.future.set_result(inner.result()))

    def _failed(self, submission: Submission, try_id: int, error: BaseException) -> None:
        """A try failed; runs in our thread."""
        with self._lock:
            if submission.over:
                return
            if submission.try_id != try_id:
                if submission.error is not None:
                    self._give_up(submission, submission.error)  # unless another one may come
                return
        try:
            failure, decision = judged(self._diary, submission, error)
        except Exception:  # noqa: BLE001 - logged there
            self._complain()
            self._give_up(submission, error)
            return
        if decision.mode == "passive":
            if not submission.lost:
                self._give_up(submission, error)
        elif decision.action == "retry":
            self._again(submission, decision)
        else:
            # What an endpoint answered is the answer. That one takes no task is none, while another may yet answer.
            answered = isinstance(error, TaskExecutionFailed)
            self._give_up(submission, explained(error, failure, decision), final=answered)

    def _again(self, submission: Submission, decision: Decision) -> None:
        target = decision.placement.executor if decision.placement is not None else None
        with self._lock:
            if target is not None and target != submission.endpoint:
                submission.options = {**submission.asked, **self._steps.get(target, {})}
            submission.next_try(target or submission.endpoint)
            specification = submission.options["resource_specification"] or {}
            more = {key: value for key, value in decision.resources.items() if key in specification}
            if more:
                submission.options["resource_specification"] = {**specification, **more}
            try_id = submission.try_id
        if decision.delay > 0:
            self._later(decision.delay, submission, try_id)
        else:
            self._send_now(submission, try_id)

    def _give_up(self, submission: Submission, error: BaseException, *, final: bool = False) -> None:
        """Answer with an error: at once where it is final, else when no earlier try may be answered any more."""
        with self._lock:
            submission.error = error
            if submission.over or (submission.may_come and not final):
                return
            submission.over = True
        _settle(submission.future, lambda: submission.future.set_exception(error))

    def _answered(self, submission: Submission, outer: concurrent.futures.Future[Any]) -> None:
        """The user has an answer, or has cancelled. Runs in whatever thread that was done in."""
        if outer.cancelled():
            with self._lock:
                told, submission.over = submission.over, True
            _settle(outer, outer.set_running_or_notify_cancel)  # whoever waits for it is told
            if not told:
                self._tell(submission, "failed", time.time(), cancelled="true")
        for left in (*submission.earlier, submission.inner):
            if left is not None and not left.done() and not left.cancel():
                self._work.put(partial(unwatch, left))
        self._forget(submission)

    def _forget(self, submission: Submission) -> None:
        with self._lock:
            submission.over = True
            self._open.pop(submission.task_id, None)
            for inner in (submission.inner, *submission.earlier):
                self._by_inner.pop(id(inner), None)
            submission.args, submission.kwargs = (), {}

    # -- endpoints that are silent ------------------------------------------------------------------------------------

    def _given(self) -> list[Submission]:
        return [submission for submission in self._opened() if submission.given is not None]

    def _beat(self, period: float) -> None:
        self._border(partial(self._diary.beat, period))

    def _suspect(self, submission: Submission, try_id: int, suspicion: Suspicion) -> None:
        self._work.put(partial(self._doubt, submission, try_id, suspicion))

    def _doubt(self, submission: Submission, try_id: int, suspicion: Suspicion) -> None:
        """An endpoint is silent: another one gets the task where there is one, and it will not run twice for that."""
        with self._lock:
            if submission.over or submission.try_id != try_id:
                return
        reason = suspicion.reason
        if self._is_gone(submission, suspicion):
            reason += ", and the web service says that it is offline"
        elif not self._speculates or suspicion.beginning:
            submission.lost = False  # it is looked at again
            return
        error = EndpointUnusableError(submission.endpoint, reason)
        if self._diary.moves(submission, error):
            self._failed(submission, try_id, error)

    def _is_gone(self, submission: Submission, suspicion: Suspicion) -> bool:
        """Whether the web service says that nobody will answer: what starts a user endpoint may be there without it."""
        one = submission.user_endpoint if suspicion.had_it else submission.endpoint
        return one is not None and self._status.is_gone(one)

    # -- inside -------------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="octopus-submissions", daemon=True)
            self._thread.start()
            if self._watch is not None:
                self._watch.start()

    def _tell(self, submission: Submission, state: str, time: float, **labels: str) -> None:
        """Have it told what a submission is like now, in our thread: it may have to wait for a decision."""
        with self._lock:
            event = self._diary.event(submission, state, time, **labels)
        self._work.put(partial(self._diary.take, event))

    def _run(self) -> None:
        while True:
            job = self._work.get()
            if job is None:
                return
            try:
                job()
            except Exception:  # noqa: BLE001 - logged there
                self._complain()

    def _opened(self) -> list[Submission]:
        with self._lock:
            return list(self._open.values())

    def _finish(self) -> None:
        while left := self._opened():
            concurrent.futures.wait([submission.future for submission in left])
            time.sleep(0.001)  # their own callbacks come right after
        self._delays.close()
        if self._watch is not None:
            self._watch.close()
        self._status.close()
        self._senders.close()
        self._work.put(None)
        if self._thread is not None:
            self._thread.join(timeout=5.0)
        self._border(self._diary.close)

    def _border(self, call: Callable[[], None]) -> None:
        """The border to the host and its user, who must not be hurt: what is raised inside is told once."""
        try:
            call()
        except Exception:  # noqa: BLE001 - logged there
            self._complain()

    def _complain(self) -> None:
        if not self._complained:
            self._complained = True
            logger.exception("What becomes of a task could not be told or decided; the executor goes on (said once)")


def _settle(future: Any, call: Callable[[], Any]) -> None:
    """Answer a future, unless it has been answered or cancelled meanwhile."""
    try:
        call()
    except (InvalidStateError, RuntimeError):
        logger.debug("%r is settled already", future)
