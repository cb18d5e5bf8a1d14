"""The story of one run: what Parsl and its workers report, told as events in order, task by task."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from parsl.monitoring.message_type import MessageType

from octopus_plugins.events import Decision, ExceptionInfo, Failure, Stop, Task
from octopus_plugins.events.failure import MAX_CAUSES
from octopus_plugins.exception_description import own_attributes
from octopus_plugins.fabric import Emitter
from octopus_plugins.frameworks.recorder import Chronicle
from octopus_plugins.htex import reports
from octopus_plugins.htex.observation import TAG
from octopus_plugins.plugins import Plugins
from octopus_plugins.wrath import decide
from octopus_plugins.wrath.decisions.budget import terminated
from parsl_monitor.run import translate
from parsl_monitor.run.attempts import Attempt, Attempts
from parsl_monitor.run.translate import Try

_FAILED = frozenset({"failed", "fail_retryable", "dep_fail"})
_WORK_ENDED = _FAILED | {"exec_done", "memo_done", "joining"}
_ENDED_WELL = frozenset({"exec_done", "memo_done"})
_ENDED_BADLY = frozenset({"failed", "dep_fail"})

MAX_REMEMBERED_WORKERS = 200_000
MAX_REMEMBERED_TASKS = 200_000
MAX_ROOT = 200
"""Characters of what a failed task said that are remembered for those that wait for it."""


class Story(Chronicle):
    """Turns Parsl's messages into events.

    Thread-safe: Parsl reports from several threads.

    Args:
        emitter: Where the events go.
        plugins: May add rules and learn of failures.
        attempts: The submissions that the executors make.
    """

    def __init__(self, emitter: Emitter, plugins: Plugins, attempts: Attempts) -> None:
        super().__init__(emitter, plugins)
        self.attempts = attempts
        self._reported: dict[str, int] = {}
        self._launched_on: dict[str, str] = {}
        # Parsl's own counts leave out memoised tasks and those whose dependencies failed.
        self._done = self._failed = 0
        self._failed_tasks: dict[str, ExceptionInfo] = {}
        self._roots: dict[str, ExceptionInfo] = {}
        self._workers: dict[tuple[str, str, int], dict[str, Any]] = {}

    def hear(self, message: tuple[Any, Any]) -> None:
        """Take in one of Parsl's monitoring messages, or one of our workers'."""
        tag, content = message
        now = time.time()
        if tag is MessageType.TASK_INFO:
            self._hear_of_task(content, now)
        elif tag == TAG:
            self._hear_worker(content)
        elif tag is MessageType.NODE_INFO:
            if not content.get(reports.ONLY_PLACEMENTS):
                self.tell(reports.manager_heartbeat(content, now))
        elif tag is MessageType.BLOCK_INFO:
            self.tell(*(reports.block_event(entry, now) for entry in content))
        elif tag is MessageType.WORKFLOW_INFO:
            self.run_id = content["run_id"]
            self.tell(translate.run_event(content, now, done=self._done, failed=self._failed))
        elif tag is MessageType.WORKER_TASK_INFO:
            self._hear_parsl_wrapper(content)

    def failure(self, subject: Try, error: BaseException) -> Failure:
        """The failure of a try, categorised, told with what its worker reported before it.

        Args:
            subject: The try.
            error: What it failed with.

        Returns:
            The failure, which the caller tells once it is decided.
        """
        with self.lock:
            attempt = self.attempts.of_task(subject.task_id)
            subject = self._placed(subject, attempt, error)
            self._reported[subject.task_id] = subject.try_id
            self._settle(subject, attempt)
            return self._explained(translate.failure_event(subject, error, attempt, time.time()))

    def reporting_hosts(self, executor: str) -> set[str]:
        """The nodes of an executor of which a worker has reported."""
        with self.lock:
            return {host for label, host, _ in self._workers if label == executor}

    def _hear_of_task(self, message: Mapping[str, Any], now: float) -> None:
        task_id = str(message["task_id"])
        state = message["task_status_name"]
        unhandled: tuple[Failure, Decision] | None = None
        settles = False
        with self.lock:
            if state == "launched":
                self._launched_on[task_id] = message["task_executor"]
                app = message["task_func_name"]
                attempt = self.attempts.claim(task_id, message["try_id"], message["task_executor"], app)
                place: Mapping[str, Any] = {}
            else:
                attempt = self.attempts.of_task(task_id)
                place = attempt.place if attempt is not None else {}
            if state in _WORK_ENDED:
                ran_on = self._launched_on.pop(task_id, None)
                if ran_on not in (None, message["task_executor"]):
                    # By now the record names the executor that a retry handler moved the task to.
                    message = {**message, "task_executor": ran_on}
                settles = state not in _FAILED and _is_unsettled(attempt, message["task_executor"])
                if settles and attempt is not None:
                    attempt.settled = True
                else:
                    unhandled = self._hear_of_end(message, place, attempt, now)
                self.attempts.close(task_id)
                self._done += state in _ENDED_WELL
                if state in _ENDED_BADLY:
                    self._note_failed(task_id)
                elif state in _ENDED_WELL:
                    self._roots.pop(task_id, None)
            self.tell(translate.task_event(message, now, place, attempt, settles=settles))
        if unhandled is not None:
            self._plugins.decided(*unhandled)

    def _hear_of_end(
        self, message: Mapping[str, Any], place: Mapping[str, Any], attempt: Attempt | None, now: float
    ) -> tuple[Failure, Decision] | None:
        """Tell what is to be said of a try before the state that ends it; a decision where Parsl asked for none."""
        subject = self._subject(message, place, attempt)
        self._settle(subject, attempt)
        state, task_id = message["task_status_name"], subject.task_id
        if state not in _FAILED or self._reported.pop(task_id, None) == subject.try_id:
            return None
        failure = self._unhandled_failure(subject, attempt, message, now)
        return self._tell_unhandled(failure, final=state in _ENDED_BADLY)

    def _tell_unhandled(self, failure: Failure, *, final: bool) -> tuple[Failure, Decision] | None:
        """Tell a failure of which Parsl asked no handler, and the decision: whatever it was, Parsl ends the task."""
        if self.policy is None or not final:
            self.tell(failure)
            return None
        decision = decide(failure, self.history, self.policy)
        if decision.action == "retry":
            decision = terminated(decision, failure, Stop.host, "Parsl retries no such failure", rule="parsl")
        self.tell(failure, decision)
        return failure, decision

    def _unhandled_failure(
        self, subject: Try, attempt: Attempt | None, message: Mapping[str, Any], now: float
    ) -> Failure:
        """A failure that no retry handler of ours has seen: no handler is set, or it is a join's."""
        error = attempt.error() if attempt is not None else None
        if error is not None:
            failure = translate.failure_event(self._placed(subject, attempt, error), error, attempt, now)
        else:
            report, awaited = message["task_fail_history"], translate.awaited_tasks(message)
            culprits = tuple(task_id for task_id in awaited if task_id in self._failed_tasks)
            roots = tuple(self._failed_tasks[task_id] for task_id in culprits[:MAX_CAUSES])
            failure = translate.reported_failure(subject, report, attempt, now, culprits, roots)
        return self._explained(failure)

    def _explained(self, failure: Failure) -> Failure:
        """The failure with its category: an endpoint of Globus Compute that has found one was nearer to it."""
        if len(self._roots) < MAX_REMEMBERED_TASKS:
            root = failure.causes[-1] if failure.causes else failure.exception
            self._roots[failure.task_id] = ExceptionInfo(type=root.type, message=root.message[:MAX_ROOT])
        return failure if failure.categorization is not None else self.categorized(self.with_death(failure))

    def _note_failed(self, task_id: str) -> None:
        """Remember a task that failed, and in short what it failed with, for whoever waits for it."""
        self._failed += 1
        root = self._roots.pop(task_id, None)
        if len(self._failed_tasks) < MAX_REMEMBERED_TASKS:
            self._failed_tasks[task_id] = root or ExceptionInfo(type="unknown")

    def _settle(self, subject: Try, attempt: Attempt | None) -> None:
        """Tell what the worker reported of a try, once."""
        if attempt is None or attempt.settled or attempt.ended is None:
            return
        attempt.settled = True
        self.tell(*translate.worker_events(subject, attempt))

    def _subject(self, message: Mapping[str, Any], place: Mapping[str, Any], attempt: Attempt | None) -> Try:
        launched = message["task_try_time_launched"]
        return Try(
            run_id=message["run_id"],
            task_id=str(message["task_id"]),
            try_id=message["try_id"],
            app=message["task_func_name"],
            executor=message["task_executor"],
            submitted=message["task_time_invoked"].timestamp(),
            launched=launched.timestamp() if launched is not None else None,
            stderr=message["task_stderr"],
            place=place,
            resources=translate.plain_resources(attempt.record) if attempt is not None and attempt.record else {},
        )

    def _hear_worker(self, message: Mapping[str, Any]) -> None:
        kind, executor, place = message["kind"], message["executor"], message["place"]
        with self.lock:
            if kind == "worker":
                if len(self._workers) < MAX_REMEMBERED_WORKERS:
                    self._workers[executor, place["host"], place["worker_id"]] = place
            elif kind == "samples":
                self._hear_samples(message)
            elif kind == "sample":
                self._hear_sample(message, place)
            elif kind == "heartbeat":
                self.tell(reports.node_heartbeat(self.run_id, message))

    def _hear_samples(self, message: Mapping[str, Any]) -> None:
        """A pool tells what its workers use."""
        executor = message["executor"]
        tries = []
        for sample in message["tries"]:
            attempt = self._running(executor, sample, reports.place_of(message, sample))
            if attempt is not None:
                tries.append(({"task_id": attempt.task_id, "try_id": attempt.try_id}, sample))
        if tries:
            self.tell(reports.samples_event({"run_id": self.run_id, "executor": executor}, message, tries))

    def _hear_sample(self, message: Mapping[str, Any], place: dict[str, Any]) -> None:
        """A worker tells what it uses: its pool is Parsl's own."""
        attempt = self._running(message["executor"], message, place)
        if attempt is not None and attempt.task_id is not None:
            subject = Try(self.run_id, attempt.task_id, attempt.try_id)
            self.tell(translate.sample_event(subject, attempt, message))

    def _running(self, executor: str, sample: Mapping[str, Any], place: dict[str, Any]) -> Attempt | None:
        """Take in a sample of a try, and tell that the try runs; None where it ended meanwhile."""
        attempt = self.attempts.of_number(executor, sample["number"])
        if attempt is None or attempt.task_id is None or attempt.ended is not None:
            return None  # its result may have overtaken the sample, and says more
        attempt.place = place
        if (
            attempt.usage is None or sample["usage"]["time"] >= attempt.usage["time"]
        ):  # one may have come back to a node
            attempt.usage = dict(sample["usage"])
        attempt.started = sample["started"]
        if not attempt.announced:
            attempt.announced = True
            self.tell(
                Task(
                    run_id=self.run_id,
                    time=sample["started"],
                    task_id=attempt.task_id,
                    try_id=attempt.try_id,
                    state="running",
                    executor=attempt.executor,
                    **place,
                )
            )
        return attempt

    def _hear_parsl_wrapper(self, message: Mapping[str, Any]) -> None:
        """Parsl's own resource monitoring, where a user turned it on, says when a try begins and ends."""
        attempt = self.attempts.of_task(str(message["task_id"]))
        if attempt is not None and attempt.started is not None:
            return  # seen by ourselves
        self.tell(
            Task(
                run_id=message["run_id"],
                time=message["timestamp"].timestamp(),
                task_id=str(message["task_id"]),
                try_id=message["try_id"],
                state="running" if message["first_msg"] else "running_ended",
                block=message["block_id"],
                host=message["hostname"],
            )
        )

    def _placed(self, subject: Try, attempt: Attempt | None, error: BaseException) -> Try:
        """The try with its place: from its worker, else from what a lost worker or manager names."""
        place = dict(attempt.place) if attempt is not None else {}
        host = own_attributes(error).get("hostname")
        if not place and isinstance(host, str):
            worker_id = own_attributes(error).get("worker_id")
            known = self._workers.get((subject.executor or "", host, worker_id)) if worker_id is not None else None
            place = dict(known or {"host": host})
            if isinstance(worker_id, int):
                place["worker_id"] = worker_id
            manager = own_attributes(error).get("manager_id")
            if isinstance(manager, bytes):
                place["manager"] = manager.decode("utf-8", errors="replace")
            if attempt is not None:
                attempt.place = place
        return replace(subject, place=place or subject.place)


def _is_unsettled(attempt: Attempt | None, executor: str) -> bool:
    """Whether a try ended on its worker, and of that nothing was told: the state that ends it can tell it."""
    return attempt is not None and attempt.ended is not None and not attempt.settled and attempt.executor == executor
