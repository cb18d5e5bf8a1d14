"""Parsl's retry handler that knows why a task failed, and where it may go instead."""

from __future__ import annotations

import difflib
import logging
import os
import platform
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from parsl.executors import ThreadPoolExecutor

from octopus_plugins.events import Decision, Failure, Run
from octopus_plugins.wrath import History, Policy, categorize, decide, policy_from
from parsl_monitor import translate
from parsl_monitor.executor import STEERING, ObservedExecutor, Steering
from parsl_monitor.hub import OctopusMonitoringHub
from parsl_monitor.translate import Try

logger = logging.getLogger("octopus_plugins")

Handler = Callable[[Exception, Any], float]


class WrathRetryHandler:
    """Categorises each failed try, decides retry or terminate, and places the retry.

    Give it to Parsl as ``Config(retries=5, retry_handler=WrathRetryHandler())``. Decisions are made in the
    workflow's own process, with no broker. ``retries`` keeps its meaning: no task is charged more than that.

    Args:
        policy: A TOML file, a mapping, or a Policy; default: the built-in one.
        ladder: Labels of executors that a retry may climb to, smallest first.
        mode: ``active``, or ``passive``: record what would have been decided and change nothing.
        retry_handler: The workflow's own handler. It keeps the last word on whether a task is retried, and its
            cost counts; a retry is still placed where it can succeed.

    Raises:
        PolicyError: The policy is wrong; names file and key.
    """

    def __init__(
        self,
        policy: str | os.PathLike[str] | Mapping[str, Any] | Policy | None = None,
        *,
        ladder: Sequence[str] | None = None,
        mode: str | None = None,
        retry_handler: Handler | None = None,
    ) -> None:
        self.policy = policy_from(policy, ladder=ladder, mode=mode)
        self.retry_handler = retry_handler
        self._history = History()
        self._lock = threading.Lock()  # over the history, where there is no hub that has one
        self._known: tuple[str, frozenset[str]] | None = None
        self._complained = False

    def __call__(self, exception: Exception, task_record: Any) -> float:
        """What this failure costs the task; called by Parsl, which retries while the sum is within ``retries``."""
        own_cost = self.retry_handler(exception, task_record) if self.retry_handler is not None else None
        try:
            return self._handle(exception, task_record, own_cost)
        except Exception:
            # The border to Parsl, which would end the task with our exception in the place of its own.
            if not self._complained:
                self._complained = True
                logger.exception("A failure could not be decided; the task is retried as Parsl would (said once)")
            return 1.0 if own_cost is None else own_cost

    def _handle(self, exception: Exception, record: Any, own_cost: float | None) -> float:
        dfk = record["dfk"]
        hub = dfk.monitoring if isinstance(dfk.monitoring, OctopusMonitoringHub) else None
        self._learn_executors(dfk, hub)
        failure, decision = self._judge(exception, record, hub)
        left = dfk.config.retries - record["fail_cost"]
        if own_cost is not None:
            decision = _with_own_cost(decision, own_cost, left)
        elif decision.action == "retry" and decision.charge > left:
            decision = _terminated(decision, f"the run's {dfk.config.retries} retries are used up")
        if hub is not None:
            hub.story.tell(failure, decision)
            hub.plugins.decided(failure, decision)
        else:
            with self._lock:
                self._history.observe(failure)
                self._history.observe(decision)
        if decision.mode == "passive":
            return 1.0 if own_cost is None else own_cost
        if decision.deny_hosts and hub is not None:
            with hub.story.lock:
                hub.deny_hosts(hub.story.history.denied_hosts(failure.time))
        if decision.action == "retry":
            _place(record, decision)
            return decision.charge
        return own_cost if own_cost is not None else max(left, 0) + 1.0

    def _judge(self, exception: Exception, record: Any, hub: OctopusMonitoringHub | None) -> tuple[Failure, Decision]:
        subject = _subject(record)
        if hub is None:
            failure = translate.failure_event(subject, exception, None, time.time())
            with self._lock:
                failure = msgspec.structs.replace(failure, categorization=categorize(failure, self._history))
                return failure, decide(failure, self._history, self.policy)
        with hub.story.lock:
            failure = hub.story.failure(subject, exception)
            decision = decide(failure, hub.story.history, self.policy)
        return failure, hub.plugins.change(failure, decision)

    def _learn_executors(self, dfk: Any, hub: OctopusMonitoringHub | None) -> None:
        """Tell the run's executors, once and when one was added; warn of labels in the ladder that do not exist."""
        labels = frozenset(dfk.executors)
        if self._known == (dfk.run_id, labels):
            return
        self._known = (dfk.run_id, labels)
        pools = tuple(
            translate.pool_of(executor, steerable=isinstance(executor, ObservedExecutor))
            for label, executor in dfk.executors.items()
            if not label.startswith("_parsl")
        )
        run = Run(run_id=dfk.run_id, time=time.time(), state="configured", retries=dfk.config.retries, pools=pools)
        if hub is not None:
            hub.story.tell(run)
        else:
            with self._lock:
                self._history.observe(run)
        for label in self.policy.ladder:
            if label not in labels:
                known = sorted(pool.label for pool in pools)
                close = difflib.get_close_matches(label, known, n=1)
                logger.warning(
                    "The ladder of policy %r names executor %r, which this run does not have (it has %s)%s; "
                    "the rung is passed over",
                    self.policy.name,
                    label,
                    ", ".join(known),
                    f"; did you mean {close[0]!r}?" if close else "",
                )


def _subject(record: Any) -> Try:
    executor = record["executor"]
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
    )


def _place(record: Any, decision: Decision) -> None:
    """Send the retry where the decision says, in the words that our executors understand."""
    placement = decision.placement
    executors = record["dfk"].executors
    if placement is not None and placement.executor in executors:
        record["executor"] = placement.executor
    # Parsl shares one default dict between all tasks.
    specification = {key: value for key, value in record["resource_specification"].items() if key != STEERING}
    if isinstance(executors[record["executor"]], ObservedExecutor):
        specification[STEERING] = Steering(
            delay=decision.delay, avoid_hosts=placement.avoid_hosts if placement is not None else ()
        )
    record["resource_specification"] = specification


def _terminated(decision: Decision, why: str) -> Decision:
    return msgspec.structs.replace(
        decision, action="terminate", placement=None, delay=0.0, rule="retries", reason=f"{decision.reason}; {why}"
    )


def _with_own_cost(decision: Decision, cost: float, left: float) -> Decision:
    """The decision as the workflow's own handler has settled it."""
    if cost > left:
        if decision.action == "terminate":
            return decision
        return _terminated(decision, f"the workflow's own retry_handler charged {cost:g} and {left:g} was left")
    if decision.action == "retry":
        return msgspec.structs.replace(decision, charge=cost)
    return msgspec.structs.replace(
        decision,
        action="retry",
        charge=cost,
        rule="retry_handler",
        reason=f"{decision.reason}; retried because the workflow's own retry_handler charged {cost:g} of {left:g} left",
    )
