"""One session of an endpoint: what its engine and its workers report, told as events in order, and what is decided."""

from __future__ import annotations

import os
import platform
import time
import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from parsl.monitoring.message_type import MessageType

from globus_compute_hooks import translate
from globus_compute_hooks.attempts import Attempt, Attempts
from globus_compute_hooks.ledger import Entry, Ledger
from globus_compute_hooks.observation import TAG, Observation
from globus_compute_hooks.translate import FRAMEWORK
from octopus_plugins.events import Decision, Failure, Pool, Run, Task
from octopus_plugins.fabric import Emitter
from octopus_plugins.frameworks import htex
from octopus_plugins.frameworks.chronicle import Chronicle
from octopus_plugins.plugins import Plugins
from octopus_plugins.wrath import BreakerPolicy, Policy, decide
from octopus_plugins.wrath.policy_data import policy_to_data
from octopus_plugins.wrath.settlement import terminated, within_budget

MAX_REMEMBERED = 200_000

_SUBJECT = (
    "run_id",
    "framework",
    "task_id",
    "try_id",
    "app",
    "executor",
    "host",
    "block",
    "manager",
    "worker_id",
    "pid",
)

_USERS_OWN = frozenset({"application", "unknown"})
"""Layers of which an endpoint retries nothing that a function itself raised: Globus Compute promises as much."""


class Session(Chronicle):
    """The story of an endpoint from its start to its end. Thread-safe.

    Args:
        emitter: Where the events go.
        plugins: May add rules, change decisions and learn of failures.
        policy: What to do about which failure.
        endpoint: Id of the endpoint.
        retries: How often a task may be tried again for failures of the system.
        ledger: Where the tasks are put down that are not answered yet.
    """

    def __init__(
        self,
        emitter: Emitter,
        plugins: Plugins,
        policy: Policy,
        endpoint: str,
        retries: int,
        ledger: Ledger | None = None,
    ) -> None:
        super().__init__(emitter, plugins)
        # What is many users' functions to an endpoint is never stopped as one.
        self._policy = replace(policy, breaker=BreakerPolicy(enabled=False))
        self.policy = self._policy
        self.run_id = str(uuid.uuid4())
        self.endpoint = endpoint
        self.retries = retries
        self.attempts = Attempts()
        self._ledger = ledger
        self._names: dict[str, str] = {}
        self._workers: dict[tuple[str, int], dict[str, Any]] = {}
        self._done = self._failed = 0
        self.ever_seen = False
        """Whether any worker has observed a task."""

    # -- the endpoint -------------------------------------------------------------------------------------------------

    def begin(self, pool: Pool, run_dir: str | None, versions: dict[str, str], now: float) -> None:
        """The endpoint starts."""
        about: dict[str, Any] = {"run_id": self.run_id, "framework": FRAMEWORK, "time": now}
        name = os.environ.get("GLOBUS_COMPUTE_ENDPOINT_NAME")
        self.tell(
            Run(
                **about,
                state="started",
                name=name,
                host=platform.node(),
                run_dir=run_dir,
                versions=versions,
                labels={"endpoint_id": self.endpoint},
            ),
            Run(
                **about,
                state="configured",
                retries=self.retries,
                pools=(pool,),
                policy=policy_to_data(self._policy),
                labels={"decider": "workflow"},
            ),
        )

    def beat(self, period: float, report: Mapping[str, Any]) -> None:
        """The endpoint is alive."""
        host, pid = platform.node(), os.getpid()
        now = time.time()
        self.tell(translate.endpoint_heartbeat(self.run_id, self.endpoint, host, pid, period, now, report))

    def end(self) -> None:
        """The endpoint stops."""
        self.tell(
            Run(
                run_id=self.run_id,
                framework=FRAMEWORK,
                time=time.time(),
                state="ended",
                host=platform.node(),
                tasks_done=self._done,
                tasks_failed=self._failed,
            )
        )

    def hear(self, tag: Any, content: Any) -> None:
        """Take in a message of the interchange, of a poller of blocks, or of one of our workers."""
        now = time.time()
        if tag is MessageType.NODE_INFO:
            self._hear_manager(content, now)
        elif tag is MessageType.BLOCK_INFO:
            told = ({**entry, "run_id": self.run_id, "executor_label": self.endpoint} for entry in content)
            self.tell(*(htex.block_event(entry, now, FRAMEWORK) for entry in told))
        elif tag == TAG:
            self._hear_worker(content)

    # -- its tasks ----------------------------------------------------------------------------------------------------

    def received(self, attempt: Attempt) -> None:
        """A task came from the web service. It is told with its launch: every write costs the engine a turn."""
        self.attempts.open(attempt)
        self._note(attempt)

    def launched(self, attempt: Attempt, now: float) -> None:
        """A try goes to the executor."""
        attempt.launched = now
        about = self._about(attempt)
        told = [translate.task_event(about, "launched", now)]
        if attempt.try_id:
            self._note(attempt)
        else:
            told.insert(0, translate.task_event(about, "pending", attempt.submitted))
        self.tell(*told)

    def succeeded(self, attempt: Attempt, seen: Observation | None) -> None:
        """A task ended well."""
        with self.lock:
            self._done += 1
            told = self._settled_try(attempt, seen)
            self.tell(*told, translate.task_event(self._about(attempt), "exec_done", time.time()))
        self._close(attempt)

    def failed(
        self,
        attempt: Attempt,
        *,
        error: BaseException | None = None,
        seen: Observation | None = None,
        text: str = "",
        host_retries: bool = False,
    ) -> tuple[Failure, Decision]:
        """A try failed.

        Args:
            attempt: The try.
            error: What the engine failed with; None where a worker returned a failed result.
            seen: What the worker saw, if it could.
            text: What the failed result says.
            host_retries: Whether the host tries again where the policy is passive.

        Returns:
            The failure and what is to be done about it; both have been told.
        """
        with self.lock:
            self.tell(*self._settled_try(attempt, seen))
            if error is not None:
                self._place_lost(attempt, error)
            now = time.time()
            event = translate.failure_event(self._about(attempt), attempt, now, error=error, seen=seen, text=text)
            failure = self.categorized(self.with_death(event))
            decision = self._settled(failure, attempt, system=error is not None)
            again = host_retries if decision.mode == "passive" else decision.action == "retry"
            state = "fail_retryable" if again else "failed"
            self._failed += state == "failed"
            attempt.charged += decision.charge
            self.tell(failure, decision, translate.task_event(self._about(attempt), state, now))
        self.attempts.returned(attempt)
        if state == "failed":
            self._close(attempt)
        self._plugins.decided(failure, decision)
        return failure, decision

    def lost(self, failure: Failure) -> tuple[Failure, Decision]:
        """A task that an earlier session took and never answered: it is told, with the decision, as that session's.

        Args:
            failure: What is known of it.
        """
        with self.lock:
            failure = self.categorized(failure)
            decision = decide(failure, self.history, self._policy)
            if decision.action == "retry":
                # Whoever starts later has not got what was to be run.
                decision = terminated(decision, "the endpoint no longer has what was to be run", rule="lost_task")
            about = {name: getattr(failure, name) for name in _SUBJECT}
            # The order of the earlier session's events is its own.
            for event in (failure, decision, translate.task_event(about, "failed", failure.time)):
                self.tell_again(event)
        self._plugins.decided(failure, decision)
        return failure, decision

    def _settled(self, failure: Failure, attempt: Attempt, *, system: bool) -> Decision:
        decision = self._plugins.change(failure, decide(failure, self.history, self._policy))
        if decision.action == "retry" and not system and decision.layer in _USERS_OWN:
            rule = "max_retries_on_system_failure"
            return terminated(decision, "an endpoint retries no error of a function's own", rule=rule)
        return within_budget(decision, self.retries - attempt.charged, self.retries)

    def _about(self, attempt: Attempt) -> dict[str, Any]:
        app = self._names.get(attempt.function_id or "", attempt.function_id)
        return translate.subject(self.run_id, self.endpoint, attempt, app)

    def _settled_try(self, attempt: Attempt, seen: Observation | None) -> list[Task]:
        """Take in what the worker saw of a try; what is to be told of it."""
        if seen is None:
            return []
        self.ever_seen = True
        self._learn_name(attempt, seen.app)
        attempt.place, attempt.started, attempt.ended = seen.place, seen.started, seen.ended
        ended = translate.task_event(self._about(attempt), "running_ended", seen.ended, usage=htex.usage(seen.usage))
        return [*self._begun(attempt), ended]

    def _begun(self, attempt: Attempt) -> list[Task]:
        """That a try runs, where that was not told yet."""
        if attempt.announced or attempt.started is None:
            return []
        attempt.announced = True
        if attempt.ended is None:
            self._note(attempt)
        return [translate.task_event(self._about(attempt), "running", attempt.started)]

    def _note(self, attempt: Attempt) -> None:
        if self._ledger is None:
            return
        app = self._names.get(attempt.function_id or "", attempt.function_id)
        self._ledger.note(
            Entry(
                task_id=attempt.task_id,
                run_id=self.run_id,
                executor=self.endpoint,
                submitted=attempt.submitted,
                try_id=attempt.try_id,
                app=app,
                place=attempt.place,
            )
        )

    def forget(self, attempt: Attempt) -> None:
        """A task was answered without us."""
        self._close(attempt)

    def _close(self, attempt: Attempt) -> None:
        self.attempts.close(attempt)
        if self._ledger is not None:
            self._ledger.done(attempt.task_id)

    def _learn_name(self, attempt: Attempt, name: str | None) -> None:
        if name and attempt.function_id and len(self._names) < MAX_REMEMBERED:
            self._names.setdefault(attempt.function_id, name)

    def _place_lost(self, attempt: Attempt, error: BaseException) -> None:
        """Put down where a try was, from what a lost worker or manager names."""
        host, worker_id = getattr(error, "hostname", None), getattr(error, "worker_id", None)
        if isinstance(host, str) and "pid" not in attempt.place:
            known = self._workers.get((host, worker_id)) if isinstance(worker_id, int) else None
            attempt.place = {**attempt.place, **(known or {"host": host})}
        if isinstance(worker_id, int):
            attempt.place = {**attempt.place, "worker_id": worker_id}

    def _hear_manager(self, content: Mapping[str, Any], now: float) -> None:
        message = {**content, "run_id": self.run_id, "executor_label": self.endpoint}
        place = {"host": content["hostname"], "block": content["block_id"], "manager": content["uid"]}
        with self.lock:
            for number in content.get("tasks", ()):
                attempt = self.attempts.of_number(number)
                if attempt is not None and not attempt.place:
                    attempt.place = place
            self.tell(htex.manager_heartbeat(message, now, FRAMEWORK))

    def _hear_worker(self, message: Mapping[str, Any]) -> None:
        kind, place = message["kind"], message["place"]
        with self.lock:
            if kind == "worker":
                if len(self._workers) < MAX_REMEMBERED:
                    self._workers[place["host"], place["worker_id"]] = place
            elif kind == "sample":
                self._hear_sample(message, place)
            elif kind == "heartbeat":
                self.tell(htex.node_heartbeat(self.run_id, message, FRAMEWORK))

    def _hear_sample(self, message: Mapping[str, Any], place: dict[str, Any]) -> None:
        attempt = self.attempts.of_task(message["task_id"])
        if attempt is None or attempt.try_id != message["try_id"]:
            return  # its try ended meanwhile
        self._learn_name(attempt, message["app"])
        attempt.place, attempt.started, attempt.usage = place, message["started"], message["usage"]
        self.tell(*self._begun(attempt), translate.sample_event(self._about(attempt), message))
