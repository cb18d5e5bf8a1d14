"""What becomes of the tasks of one OctopusExecutor, told as events in order, and what is decided about failures."""

from __future__ import annotations

import logging
import platform
import time
import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from globus_compute_hooks.sdk.submission import Submission
from globus_compute_hooks.translate import FRAMEWORK, OPAQUE, USERS_OWN, run_ended, task_event
from octopus_plugins.events import Decision, ExceptionInfo, Failure, Heartbeat, Pool, Run, Stop, Task
from octopus_plugins.events.exceptions import failure_details
from octopus_plugins.events.failure import MAX_MESSAGE, MAX_TRACEBACK
from octopus_plugins.fabric import Emitter
from octopus_plugins.frameworks import failure_text
from octopus_plugins.frameworks.recorder import Chronicle
from octopus_plugins.plugins import Plugins
from octopus_plugins.wrath import BreakerPolicy, Policy, decide
from octopus_plugins.wrath.decisions.budget import terminated, within_budget
from octopus_plugins.wrath.policy.data import policy_to_data

logger = logging.getLogger("octopus_plugins")

COMPONENT = "sdk"
"""What an executor's heartbeats name: they show that its topics can be heard."""


class Diary(Chronicle):
    """The story of an executor. Thread-safe.

    Args:
        emitter: Where the events go.
        plugins: May add rules, change decisions and learn of failures.
        policy: What to do about which failure; its ladder are endpoints.
        retries: How often a task may be tried again; None leaves that to the policy.
    """

    def __init__(self, emitter: Emitter, plugins: Plugins, policy: Policy, retries: int | None) -> None:
        super().__init__(emitter, plugins)
        # One executor is handed whatever its program has to run: it is never stopped as one run.
        self.policy: Policy = replace(policy, breaker=BreakerPolicy(enabled=False))
        self.retries = retries
        self.run_id = str(uuid.uuid4())
        self._endpoints: list[str] = []
        self._done = self._failed = 0

    def begin(self, name: str | None, endpoints: Sequence[str], versions: dict[str, str]) -> None:
        """The executor is there.

        Args:
            name: Its label.
            endpoints: The endpoints that it may use.
            versions: Versions here.
        """
        self.tell(
            Run(
                run_id=self.run_id,
                framework=FRAMEWORK,
                time=time.time(),
                state="started",
                name=name,
                host=platform.node(),
                versions=versions,
                labels={"component": COMPONENT},
            )
        )
        self.know(*endpoints)

    def know(self, *endpoints: str) -> None:
        """The executor may use these endpoints, too."""
        with self.lock:
            new = [endpoint for endpoint in dict.fromkeys(endpoints) if endpoint not in self._endpoints]
            if not new:
                return
            self._endpoints += new
            self.tell(
                Run(
                    run_id=self.run_id,
                    framework=FRAMEWORK,
                    time=time.time(),
                    state="configured",
                    retries=self.retries,
                    pools=tuple(Pool(label=endpoint, kind="endpoint") for endpoint in self._endpoints),
                    policy=policy_to_data(self.policy),
                    labels={"decider": "workflow"},
                )
            )

    def beat(self, period: float) -> None:
        """The executor listens."""
        self.tell(
            Heartbeat(
                run_id=self.run_id,
                framework=FRAMEWORK,
                time=time.time(),
                host=platform.node(),
                component=COMPONENT,
                period=period,
            )
        )

    def close(self) -> None:
        """The executor is shut down; delivers what is left, within the configured time."""
        self.tell(run_ended(self.run_id, platform.node(), self._done, self._failed, time.time()))
        if failed := self.summary():
            logger.info("executor %s: failed tries by category: %s", self.run_id, failed)
        self._emitter.close()

    def event(self, submission: Submission, state: str, time: float, **labels: str) -> Task:
        """What there is to tell of a submission at this moment; waits for nothing.

        Args:
            submission: The submission.
            state: Its new state.
            time: When it changed, Unix seconds.
            **labels: More to say.
        """
        about = self._about(submission)
        return task_event({**about, "labels": {**about["labels"], **labels}}, state, time)

    def take(self, event: Task) -> None:
        """Tell an event of a submission. May wait while a failure is being decided."""
        with self.lock:
            if event.executor is not None:
                self.know(event.executor)
            self._done += event.state == "exec_done"
            self._failed += event.state == "failed"
            self.tell(event)

    def moves(self, submission: Submission, error: BaseException) -> bool:
        """Whether a try that failed so would go to another endpoint; nothing is told.

        Args:
            submission: The try.
            error: What it would have failed with.
        """
        with self.lock:
            failure = self.categorized(self._failure(submission, error, "", time.time()))
            decision = decide(failure, self.history, self.policy)
            decision = self._settled(decision, failure, submission, system=True, final="")
        target = decision.placement.executor if decision.placement is not None else None
        return decision.action == "retry" and decision.mode != "passive" and target not in (None, submission.endpoint)

    def failed(
        self, submission: Submission, *, error: BaseException | None = None, text: str = "", final: str = ""
    ) -> tuple[Failure, Decision]:
        """A try failed.

        Args:
            submission: The try.
            error: What kept it from running or from being answered; None where the endpoint answered.
            text: What the endpoint answered.
            final: Why it is not to be tried again, whatever the policy says; empty where it may be.

        Returns:
            The failure and what is to be done about it; both have been told.
        """
        with self.lock:
            now = time.time()
            failure = self._failure(submission, error, text, now)
            if failure.categorization is None:
                failure = self.categorized(failure)
            decision = self._plugins.change(failure, decide(failure, self.history, self.policy))
            if decision.action == "retry":
                decision = self._settled(decision, failure, submission, system=error is not None, final=final)
            again = decision.action == "retry" and decision.mode != "passive"
            submission.charged += decision.charge
            self.tell(failure, decision)
            self.take(self.event(submission, "fail_retryable" if again else "failed", now))
        self._plugins.decided(failure, decision)
        return failure, decision

    def _settled(
        self, decision: Decision, failure: Failure, submission: Submission, *, system: bool, final: str
    ) -> Decision:
        if final:
            return terminated(decision, failure, Stop.executor, final, rule="executor")
        if not system and decision.layer in USERS_OWN:
            why_not = "a function's own errors are not retried"
            return terminated(decision, failure, Stop.users_own, why_not, rule="executor.users_own")
        if self.retries is None:
            return decision
        return within_budget(decision, failure, self.retries - submission.charged, self.retries)

    def _about(self, submission: Submission) -> dict[str, Any]:
        labels = {"compute_task_id": submission.compute_id, "endpoint_id": submission.user_endpoint}
        return {
            "run_id": self.run_id,
            "framework": FRAMEWORK,
            "task_id": submission.task_id,
            "try_id": submission.try_id,
            "app": submission.app,
            "executor": submission.endpoint,
            "labels": {key: value for key, value in labels.items() if value is not None},
        }

    def _failure(self, submission: Submission, error: BaseException | None, text: str, now: float) -> Failure:
        about = self._about(submission)
        machine = failure_text.read(text) or {}
        if error is not None:
            details = failure_details(error)
        else:
            kind = str(machine.get("exception", OPAQUE))
            mro = (kind,) if kind == OPAQUE else (kind, OPAQUE)
            details = {
                "exception": ExceptionInfo(type=kind, mro=mro, message=text[-MAX_MESSAGE:]),
                "traceback": text[-MAX_TRACEBACK:],
            }
        if "run_id" in machine:
            about["labels"] = {**about["labels"], "endpoint_run_id": str(machine["run_id"])}
        resources = submission.options["resource_specification"] or {}
        return Failure(
            **about,
            **details,
            **failure_text.place(machine),
            time=now,
            resources={key: value for key, value in resources.items() if isinstance(value, (str, int, float))},
            submitted=submission.submitted,
            launched=submission.launched,
            categorization=failure_text.categorization(machine),
        )
