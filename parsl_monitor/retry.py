"""Parsl's retry handler that knows why a task failed, and where it may go instead."""

from __future__ import annotations

import dataclasses
import logging
import os
import platform
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from parsl.executors import HighThroughputExecutor, ThreadPoolExecutor

from octopus_plugins.errors import ConfigError
from octopus_plugins.events import Decision, Event, Failure, Stop
from octopus_plugins.frameworks import failure_text
from octopus_plugins.htex.steering import SteeredSpecification, Steering, steering_of
from octopus_plugins.wrath import History, Policy, categorize, decide, policy_from
from octopus_plugins.wrath.decisions.budget import terminated, within_budget
from octopus_plugins.wrath.policy.data import policy_digest
from parsl_monitor.executor import ObservedExecutor
from parsl_monitor.hub import OctopusMonitoringHub
from parsl_monitor.run import translate
from parsl_monitor.run.attempts import Attempt
from parsl_monitor.run.configuration import run_configured, warn_of_unknown_rungs
from parsl_monitor.run.decision_checks import adopted, refusal
from parsl_monitor.run.handler import DecidingHandler
from parsl_monitor.run.pending_decisions import Verdict
from parsl_monitor.run.retry_overrides import with_own_cost, with_own_executor
from parsl_monitor.run.translate import Try

logger = logging.getLogger("octopus_plugins")

Handler = Callable[[Exception, Any], float]

DECIDERS = ("workflow", "service")

LONGEST_DEADLINE = 60.0
"""Seconds that a failed task may be made to wait for the service."""

_TAKEN_BY_HTEX = frozenset({"priority"})


class WrathRetryHandler(DecidingHandler):
    """Categorises each failed try, decides retry or terminate, and places the retry.

    Give it to Parsl as ``Config(retries=5, retry_handler=WrathRetryHandler())``. Decisions are made in the
    workflow's own process, with no broker. ``retries`` keeps its meaning: no task is charged more than that.

    With ``decider="service"`` a failure is told at once, and a decider service (``octopus wrath serve``), which knows
    more runs than this one, has until the deadline to decide; then the workflow's own decision holds. Only the failed
    task waits, no thread does, and a service that gives no sign of life is not waited for. That needs the
    OctopusMonitoringHub, and executors that it observes; failures of others are decided at once.

    Args:
        policy: A TOML file, a mapping, or a Policy; ``"published"`` for WRATH's early termination; default: the
            built-in one.
        ladder: Labels of executors that a retry may climb to, smallest first.
        mode: ``active``, or ``passive``: record what would have been decided and change nothing.
        retry_handler: The workflow's own handler. It keeps the last word on whether a task is retried, and its
            cost counts; a retry is still placed where it can succeed, unless the handler sets the executor itself.
        decider: Who decides: ``workflow``, or ``service`` while there is one.
        deadline: Seconds that a failed task waits for the service at most.
        speculate: Whether a try that seems to be lost may run a second time while the first may still run, in place of
            the policy's ``stragglers.speculate``.

    Raises:
        PolicyError: The policy is wrong; names file and key.
        ConfigError: ``decider`` or ``deadline`` is wrong.
    """

    def __init__(
        self,
        policy: str | os.PathLike[str] | Mapping[str, Any] | Policy | None = None,
        *,
        ladder: Sequence[str] | None = None,
        mode: str | None = None,
        retry_handler: Handler | None = None,
        decider: str = "workflow",
        deadline: float = 0.5,
        speculate: bool | None = None,
    ) -> None:
        if decider not in DECIDERS:
            raise ConfigError(f"decider = {decider!r}: must be one of {', '.join(DECIDERS)}")
        if not 0 < deadline <= LONGEST_DEADLINE:
            raise ConfigError(f"deadline = {deadline!r}: must be above 0 and at most {LONGEST_DEADLINE:.0f} seconds")
        self.policy = policy_from(policy, ladder=ladder, mode=mode)
        if speculate:
            stragglers = dataclasses.replace(self.policy.stragglers, speculate=True)
            self.policy = dataclasses.replace(self.policy, stragglers=stragglers)
        self._digest = policy_digest(self.policy)
        self.retry_handler = retry_handler
        self.decider = decider
        self.deadline = deadline
        self._alone = _Alone()
        self._complained: set[str] = set()

    def __call__(self, exception: Exception, task_record: Any) -> float:
        """What this failure costs the task; called by Parsl, which retries while the sum is within ``retries``."""
        own_cost = None
        # What failed is what ran, wherever the workflow's own handler sends it now.
        failed_on = task_record["executor"]
        if self.retry_handler is not None:
            try:
                own_cost = self.retry_handler(exception, task_record)
            except Exception:
                self._end_by_own_handler(task_record)
                raise
        try:
            return self._handle(exception, task_record, own_cost, failed_on)
        except Exception:
            # The border to Parsl, which would end the task with our exception in the place of its own.
            if self._first("handle"):
                logger.exception("A failure could not be decided; the task is retried as Parsl would (said once)")
            return 1.0 if own_cost is None else own_cost

    def hold(self, hub: OctopusMonitoringHub, attempt: Attempt, release: Callable[[], None]) -> bool:
        """Hold a failed try back for the decider service; see DecidingHandler."""
        record = attempt.record
        if self.decider != "service" or record is None or self.policy.mode == "passive":
            return False
        if record["dfk"].config.retries <= 0 or hub.halts.reason(str(record["id"])) is not None:
            return False  # it ends here, whatever a service says
        if not hub.service_alive() or not hub.verdicts.worth_waiting(
            str(record["id"]), record["try_id"], self.deadline
        ):
            return False
        error = attempt.error()
        if error is None:
            return False
        with hub.story.lock:
            failure, decision = self._judge(hub.story, error, record, record["executor"], hub)
            if not hub.verdicts.hold(Verdict(failure, decision, release), self.deadline):
                return False
            hub.story.tell(failure)
        hub.story.hurry()
        return True

    def _handle(self, exception: Exception, record: Any, own_cost: float | None, failed_on: str) -> float:
        dfk, task_id = record["dfk"], str(record["id"])
        hub = dfk.monitoring if isinstance(dfk.monitoring, OctopusMonitoringHub) else None
        if hub is not None:
            hub.learn(dfk)
        else:
            self._alone.learn(dfk, self.policy)
            if self.decider == "service" and self._first("hub"):
                logger.warning(
                    "decider='service' needs Config(monitoring=OctopusMonitoringHub()): the workflow decides"
                )
        story = hub.story if hub is not None else self._alone
        left = dfk.config.retries - record["fail_cost"]
        # To be settled, told and seen by the history is one step: what another thread decides comes before or after.
        with story.lock:
            verdict = hub.verdicts.take(task_id, record["try_id"]) if hub is not None else None
            if verdict is None or hub is None:
                failure, decision = self._judge(story, exception, record, failed_on, hub)
            else:
                failure, decision = verdict.failure, self._weigh(verdict, dfk, hub)
            stopped = hub.halts.reason(task_id) if hub is not None else None
            if stopped is not None:
                if decision.action == "retry":
                    decision = terminated(decision, failure, Stop.halted, stopped, rule="halted")
            elif own_cost is not None:
                decision = with_own_cost(decision, failure, own_cost, left)
                if record["executor"] != failed_on and decision.action == "retry":
                    decision = with_own_executor(decision, record["executor"])
            else:
                decision = within_budget(decision, failure, left, dfk.config.retries)
            story.tell(*(() if verdict is not None else (failure,)), decision)
        if hub is not None:
            hub.plugins.decided(failure, decision)
        if decision.mode == "passive":
            return 1.0 if own_cost is None else own_cost
        if hub is not None:
            hub.apply(decision)
        if decision.action == "retry":
            _place(record, decision)
            return decision.charge
        failure_text.note(exception, failure_text.first_line(failure, decision))
        return own_cost if own_cost is not None and own_cost > left else max(left, 0) + 1.0

    def _judge(
        self, story: Any, exception: BaseException, record: Any, failed_on: str, hub: OctopusMonitoringHub | None
    ) -> tuple[Failure, Decision]:
        failure = story.failure(_subject(record, failed_on), exception)
        decision = decide(failure, story.history, self.policy)
        return failure, decision if hub is None else hub.plugins.change(failure, decision)

    def _weigh(self, verdict: Verdict, dfk: Any, hub: OctopusMonitoringHub) -> Decision:
        """The service's decision where it came in time and can be applied, else the workflow's own."""
        if verdict.remote is None:
            return verdict.local
        own = self.policy.name, self._digest
        why = refusal(verdict.remote, verdict.failure, dfk.executors, dfk.config.retries, own)
        if why is not None:
            if self._first("refusal"):
                logger.warning(
                    "A decision of the decider service for task %s is not applied: %s; the workflow's own holds"
                    " (said once)",
                    verdict.failure.task_id,
                    why,
                )
            return verdict.local
        return hub.plugins.change(verdict.failure, adopted(verdict.remote, verdict.failure, time.time()))

    def _end_by_own_handler(self, record: Any) -> None:
        """The workflow's own handler raised, which ends the task: a failure told before gets its decision."""
        hub = record["dfk"].monitoring
        verdict = hub.verdicts.take(str(record["id"]), record["try_id"]) if hasattr(hub, "verdicts") else None
        if verdict is not None:
            why_not = "the workflow's own retry_handler raised"
            decision = terminated(verdict.local, verdict.failure, Stop.own_handler, why_not, rule="retry_handler")
            hub.story.tell(decision)
            hub.plugins.decided(verdict.failure, decision)

    def _first(self, complaint: str) -> bool:
        if complaint in self._complained:
            return False
        self._complained.add(complaint)
        return True


class _Alone:
    """In the place of a story where there is no hub to tell it: a history, and a lock over it."""

    def __init__(self) -> None:
        self.history = History()
        self.lock = threading.RLock()
        self._known: tuple[str, frozenset[str]] | None = None

    def learn(self, dfk: Any, policy: Policy) -> None:
        known = dfk.run_id, frozenset(dfk.executors)
        if self._known != known:
            self._known = known
            self.tell(run_configured(dfk, policy, time.time()))
            warn_of_unknown_rungs(policy, dfk.executors)

    def failure(self, subject: Try, error: BaseException) -> Failure:
        failure = translate.failure_event(subject, error, None, time.time())
        if failure.categorization is not None:
            return failure
        with self.lock:
            return msgspec.structs.replace(failure, categorization=categorize(failure, self.history))

    def tell(self, *events: Event) -> None:
        with self.lock:
            for event in events:
                self.history.observe(event)


def _subject(record: Any, executor: str) -> Try:
    launched = record["try_time_launched"]
    here = isinstance(record["dfk"].executors.get(executor), ThreadPoolExecutor)
    return Try(
        run_id=record["dfk"].run_id,
        task_id=str(record["id"]),
        try_id=record["try_id"],
        app=record["func_name"],
        executor=executor,
        submitted=record["time_invoked"].timestamp(),
        launched=launched.timestamp() if launched is not None else None,
        stderr=record["kwargs"].get("stderr"),
        place={"host": platform.node(), "pid": os.getpid()} if here else {},
        resources=translate.plain_resources(record),
    )


def _place(record: Any, decision: Decision) -> None:
    """Send the retry where the decision says; what the user asked for stays in the task's record as it was."""
    placement, executors = decision.placement, record["dfk"].executors
    given = record["resource_specification"]
    accepted = getattr(given, "accepted", None)
    # Parsl shares one default dict between all tasks.
    specification = {**given, **{key: value for key, value in decision.resources.items() if key in given}}
    if placement is not None and placement.executor in executors and placement.executor != record["executor"]:
        record["executor"] = placement.executor
        accepted = _accepted_by(executors[placement.executor])
    executor = executors.get(record["executor"])  # none, where an app names one that is not there
    if isinstance(executor, ObservedExecutor):
        steering = Steering(delay=decision.delay) if placement is None else steering_of(placement, decision.delay)
        specification = SteeredSpecification(specification, steering, accepted)
    elif accepted is not None:
        specification = {key: value for key, value in specification.items() if key in accepted}
    record["resource_specification"] = specification


def _accepted_by(executor: Any) -> frozenset[str] | None:
    """The keys that an executor takes of what another kind of executor was asked for; None for all."""
    return _TAKEN_BY_HTEX if isinstance(executor, HighThroughputExecutor) and not executor.enable_mpi_mode else None
