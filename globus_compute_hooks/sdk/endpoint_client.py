"""The SDK's own executors behind an OctopusExecutor: one for each endpoint, made when it is needed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from globus_compute_sdk import Executor
from globus_compute_sdk.sdk import executor as sdk
from globus_compute_sdk.sdk.asynchronous.compute_future import ComputeFuture

from globus_compute_hooks.sdk.submission import Submission

UNSENDABLE = "octopus_unsendable"
"""Key in the metadata of a future whose arguments cannot be serialized."""

_COPIED = ("label", "batch_size", "amqp_port", "api_burst_limit", "api_burst_window_s")


class Sender(Executor):
    """Submits to one endpoint, in batches and within the SDK's limits, and says what becomes of it.

    Args:
        owner: The executor whose options hold.
        endpoint: The endpoint.
        taken: Called, from the SDK's submitting thread, with the futures that the web service has just given ids.
        died: Called, from the same thread, when this executor takes no more tasks.
    """

    def __init__(
        self,
        owner: Executor,
        endpoint: str,
        taken: Callable[[list[ComputeFuture]], None],
        died: Callable[[Sender], None],
    ) -> None:
        self._owner, self._taken, self._died = owner, taken, died
        self._setting = threading.Lock()
        self.error: Exception | None = None
        """What it died of."""
        super().__init__(
            endpoint_id=endpoint,
            client=owner.client,
            task_group_id=owner.task_group_id,
            **{name: getattr(owner, name) for name in _COPIED},
        )
        # At the end of the process the owner is shut down, which waits for retries, and then its senders.
        sdk._REGISTERED_EXECUTORS.pop(id(self), None)

    def send(self, submission: Submission) -> ComputeFuture:
        """Hand over a submission; it is sent with the next batch."""
        options, owner = submission.options, self._owner
        with self._setting:
            self.batch_size, self.amqp_port, self.label = owner.batch_size, owner.amqp_port, owner.label
            self.resource_specification = options["resource_specification"]
            self.user_endpoint_config = options["user_endpoint_config"]
            self.result_serializers = options["result_serializers"]
            if options["task_group_id"] is not None:
                self.task_group_id = options["task_group_id"]
            future: ComputeFuture = self.submit_to_registered_function(
                submission.function_id, submission.args, submission.kwargs
            )
            return future

    @property
    def dead(self) -> bool:
        """Whether it takes no more tasks."""
        return bool(self._stopped)

    def _task_submitter_impl(self) -> None:
        try:
            super()._task_submitter_impl()
        finally:
            if self._stopped_in_error:
                self._died(self)

    def _submit_tasks(self, *arguments: Any) -> None:
        *options, futures, tasks = arguments
        # What is under way to the web service cannot be cancelled any more, and what was cancelled stays here.
        pairs = [pair for pair in zip(futures, tasks, strict=True) if pair[0].set_running_or_notify_cancel()]
        try:
            self._send_batch(options, pairs)
        except Exception as error:
            self.error = error
            # The SDK forgets those that it could not begin to send.
            for future, _ in pairs:
                if not future.done():
                    future.set_exception(error)
            self._submitter_thread_exception_captured = True  # the futures tell it: no traceback on standard error
            raise
        self._taken([future for future, _ in pairs if future.task_id and not future.done()])

    def _send_batch(self, options: list[Any], pairs: list[tuple[ComputeFuture, Any]]) -> None:
        if not pairs:
            return
        futures, tasks = ([pair[which] for pair in pairs] for which in (0, 1))
        try:
            super()._submit_tasks(*options, futures, tasks)  # type: ignore[call-arg]
        except Exception:
            # One whose arguments cannot be serialized must not take the others of its batch with it.
            if any(future.done() for future in futures) or not self._refuse_unsendable(pairs):
                raise
            self._send_batch(options, [pair for pair in pairs if not pair[0].done()])

    def _refuse_unsendable(self, pairs: list[tuple[ComputeFuture, Any]]) -> int:
        refused = 0
        for future, task in pairs:
            try:
                self.client.create_batch().add(str(task.function_uuid), task.args, task.kwargs)
            except Exception as error:  # noqa: BLE001 - whatever the user's objects raise
                future._metadata[UNSENDABLE] = True
                future.set_exception(error)
                refused += 1
        return refused


class Senders:
    """One sender for each endpoint; one that died is replaced, at the SDK's own pace of calls. Thread-safe.

    Args:
        owner: The executor whose options hold.
        taken: See `Sender`.
        died: See `Sender`.
    """

    def __init__(
        self, owner: Executor, taken: Callable[[list[ComputeFuture]], None], died: Callable[[Sender], None]
    ) -> None:
        self._owner, self._taken, self._died = owner, taken, died
        self._lock = threading.Lock()
        self._by_endpoint: dict[str, Sender] = {}
        self._not_before: dict[str, float] = {}

    def wait(self, endpoint: str) -> float:
        """Seconds until an endpoint may be sent something: one that has just refused is left alone for a while."""
        with self._lock:
            sender = self._by_endpoint.get(endpoint)
            if sender is None or not sender.dead:
                return 0.0
            pace = sender.api_burst_window_s / sender.api_burst_limit
            until = self._not_before.setdefault(endpoint, time.monotonic() + pace)
            return max(until - time.monotonic(), 0.0)

    def of(self, endpoint: str) -> Sender:
        """The sender of an endpoint."""
        with self._lock:
            sender = self._by_endpoint.get(endpoint)
            if sender is None or sender.dead:
                sender = self._by_endpoint[endpoint] = Sender(self._owner, endpoint, self._taken, self._died)
                self._not_before.pop(endpoint, None)
            return sender

    def sent(self) -> int:
        """How many tasks the web service has taken."""
        with self._lock:
            return sum(sender.task_count_submitted for sender in self._by_endpoint.values())

    def close(self) -> None:
        """Shut all of them down; nobody waits for them any more."""
        with self._lock:
            senders = list(self._by_endpoint.values())
        for sender in senders:
            sender.shutdown(wait=False, cancel_futures=True)  # type: ignore[no-untyped-call]


def is_watched(future: ComputeFuture) -> bool:
    """Whether the SDK waits for a result."""
    watchers = list(sdk._RESULT_WATCHERS.values())
    return any(watcher._open_futures.get(str(future.task_id)) is future for watcher in watchers)


def unwatch(future: ComputeFuture) -> None:
    """Have the SDK wait no longer for a result: at the end of the process it would wait for ever."""
    for watcher in list(sdk._RESULT_WATCHERS.values()):
        with watcher._new_futures_lock:
            if watcher._open_futures.get(str(future.task_id)) is future:
                del watcher._open_futures[str(future.task_id)]
                if not watcher._open_futures:
                    watcher._open_futures_empty.set()
