"""The decider service: consumes failures, keeps history across runs, publishes decisions."""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from octopus_plugins.config import OctopusConfig
from octopus_plugins.errors import OctopusError, PolicyError
from octopus_plugins.events import ANY, EVENT_CLASSES, Decision, Failure, Heartbeat, Run, Topic
from octopus_plugins.fabric import Emitter, ensure_topics, kafka_options
from octopus_plugins.fabric.kafka.consumer_group import Membership
from octopus_plugins.fabric.kafka.follower import Arrival, Follower, Wanted
from octopus_plugins.plugins import Plugins, load_plugins
from octopus_plugins.services.liveness import COMPONENT, PERIOD
from octopus_plugins.services.pending_failures import Undecided
from octopus_plugins.text import one_line
from octopus_plugins.wrath import DEFAULT_RULES, History, Policy, categorize, decide
from octopus_plugins.wrath.policy.data import policy_digest, policy_from_data

log = logging.getLogger("octopus_plugins")

TOO_LATE = 60.0
"""Seconds after which nobody waits for a decision on a failure any more."""

LEARNING_SECONDS = 5.0
"""How long a failure of a run that has not told how it is configured waits for that, which is in another topic."""

_UNHEEDED = frozenset(each.TYPE for each in EVENT_CLASSES if each.TOPIC is Topic.task_metrics and not each.RECORD)
"""Measurements of running tries: the history has no use for them."""

_FOLLOWED = (Topic.task_metrics, Topic.heartbeats, Topic.failures, Topic.decisions)
_MAX_RUNS = 10_000
_TOGETHER = 32  # decisions that are published at once
_ADMISSION_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class _Ruling:
    """What a run is decided by: its policy, and what its decisions are known by."""

    policy: Policy
    digest: str

    @classmethod
    def of(cls, policy: Policy) -> _Ruling:
        return cls(policy, policy_digest(policy))


class Decider:
    """Decides failures for workflows that ask for it.

    History goes across runs and is restored from the topics at the start. Each failure is decided once: not if the
    workflow decided it, not if it is older than `TOO_LATE`, and not for runs that say that they decide themselves.
    Of a run that has not told how it is configured nothing is decided, unless a policy is given for all runs.

    Attributes:
        decided: Decisions published.
        passed_over: Failures left alone since their run has not told how it is configured.
        observed: Events taken in.
        skipped: Records that were no events.
    """

    def __init__(
        self,
        config: OctopusConfig,
        *,
        policy: Policy | None = None,
        group: str | None = None,
        since: float = 86_400.0,
        plugins: Plugins | None = None,
        on_ready: Callable[[], None] = lambda: None,
        on_decisions: Callable[[Sequence[tuple[Failure, Decision]]], None] = lambda decided: None,
    ) -> None:
        """Prepare; opens nothing yet.

        Args:
            config: Which brokers.
            policy: Decides all runs, and says so in each decision; default: each run's own policy, or the built-in one
                where a run that is configured has none.
            group: Consumer group that shares the failures out among several services; default: decide all.
            since: Seconds to look back at the start.
            plugins: Default: those installed.
            on_ready: Called when the history is restored and decisions begin.
            on_decisions: Called with the decisions that were published together, each with its failure.

        Raises:
            ConfigError: No address of a broker is known.
            CredentialsError: The brokers cannot be spoken to with this configuration.
        """
        kafka_options(config)
        self.decided = 0
        self.passed_over = 0
        self.observed = 0
        self._config = config
        self._given = policy is not None
        self._default = _Ruling.of(policy or Policy.default())  # of runs that have none
        self._group = group
        self._plugins = plugins if plugins is not None else load_plugins()
        self._rules = (*self._plugins.rules(), *DEFAULT_RULES)
        self._on_ready = on_ready
        self._on_decisions = on_decisions
        self._history = History()
        self._rulings: OrderedDict[str, _Ruling | None] = OrderedDict()  # by run; None: it decides by itself
        self._learnt = False  # of a run, since what waits was last looked at
        self._undecided = Undecided()
        self._outbox: list[tuple[Failure, Decision]] = []
        self._membership: Membership | None = None
        self._complaints: set[str] = set()
        begin = time.time() - since
        self._follower = Follower(config, *(Wanted(topic, begin, skip=_UNHEEDED) for topic in _FOLLOWED))

    @property
    def skipped(self) -> int:
        return self._follower.skipped

    def close(self) -> None:
        """Stop, within a second or so; may be called from a signal handler. Returns at once."""
        self._follower.close()

    def run(self, *, once: bool = False) -> None:
        """Decide until closed.

        Args:
            once: Decide what waits now, and return.
        """
        transform = self._plugins.transform if self._plugins.has_transforms else None
        self._emitter = Emitter(self._config, transform=transform)
        self._began = time.monotonic()
        next_beat, ready = 0.0, False
        with contextlib.suppress(OctopusError):  # the follower says what is wrong, and waits
            ensure_topics(self._config.model_copy(update={"connect_timeout": min(self._config.connect_timeout, 2.0)}))
        try:
            if self._group is not None:
                self._membership = Membership(self._config, Topic.failures, self._group)
            for arrivals in self._follower.read_batches():
                self._take(arrivals)
                if not self._follower.caught_up:
                    continue
                if self._is_share_new() or not ready or self._learnt:
                    self._decide_waiting()
                if not ready:
                    ready = True
                    self._on_ready()
                if once:
                    break
                if time.monotonic() >= next_beat:
                    next_beat = time.monotonic() + PERIOD
                    self._beat("up")
                    self._complain_of_group()
                    self._decide_waiting()
        finally:
            if ready and not once:
                self._beat("draining")
            if self._membership is not None:
                self._membership.close()
            self._emitter.close()

    def _take(self, arrivals: list[Arrival]) -> None:
        for arrival in arrivals:
            self.observed += 1
            try:
                self._take_one(arrival)
            except Exception as error:  # noqa: BLE001
                # The border to what comes from topics: one bad record must not end the service.
                self._complain(type(error).__name__, f"an event could not be taken in ({arrival.event.id}): {error!r}")
        self._publish()

    def _take_one(self, arrival: Arrival) -> None:
        event = arrival.event
        if isinstance(event, Failure):
            self._take_failure(event, arrival)
        elif isinstance(event, Decision):
            self._take_decision(event)
        else:
            if isinstance(event, Run):
                self._take_run(event)
            self._history.observe(event)

    def _take_failure(self, failure: Failure, arrival: Arrival) -> None:
        stale = failure.time < time.time() - TOO_LATE
        known = self._is_known(failure.run_id)
        if stale or self._undecided.is_decided(failure) or (known and self._ruling(failure.run_id) is None):
            self._history.observe(failure)
        elif known and arrival.live and self._is_ours(arrival.partition):
            self._decide(failure)
        else:  # its decision may be among what is still to be read, as its run's configuration, or another member's
            self._undecided.add(failure, arrival.partition, time.time())

    def _take_decision(self, decision: Decision) -> None:
        if decision.task_id == ANY or decision.decider not in {"workflow", "service"}:
            self._history.observe(decision)
            return
        proposed = decision.decider == "service" and not decision.order
        known = proposed and self._undecided.is_decided(decision)
        failure = self._undecided.settle(decision)
        if failure is not None:
            self._history.observe(failure)
        if not known:  # what a service decides, the history knows; what the run made of it, the run tells
            self._history.observe(decision)

    def _take_run(self, run: Run) -> None:
        if run.state not in {"configured", "ended"}:
            return
        ruling: _Ruling | None = self._default
        if run.state == "ended" or run.labels.get("decider") == "workflow":
            ruling = None
        elif run.policy and not self._given:
            try:
                ruling = _Ruling.of(policy_from_data(run.policy))
            except PolicyError as error:  # of a newer version, or wrong
                ruling = None
                self._complain(run.run_id, f"run {run.run_id} is left to decide by itself: {error}")
        self._learnt = self._learnt or run.run_id not in self._rulings
        self._rulings[run.run_id] = ruling
        self._rulings.move_to_end(run.run_id)
        if len(self._rulings) > _MAX_RUNS:
            self._rulings.popitem(last=False)

    def _is_known(self, run_id: str) -> bool:
        """Whether it is known how a run is to be decided, and with what executors."""
        if self._given or (run_id in self._rulings and self._rulings[run_id] is None):
            return True
        run = self._history.run(run_id)
        return run_id in self._rulings and run is not None and bool(run.pools)

    def _ruling(self, run_id: str) -> _Ruling | None:
        """What a known run is decided by; None where it decides by itself."""
        return self._rulings.get(run_id, self._default)

    def _decide_waiting(self) -> None:
        """Decide what waits and is ours; forget what came too late, and what comes of runs that tell nothing."""
        self._learnt = False
        for failure in self._undecided.give_up(before=time.time() - TOO_LATE):
            self._history.observe(failure)
        for failure, partition in self._undecided.waiting():
            if not self._is_ours(partition):
                continue
            if not self._is_known(failure.run_id):
                self._wait_to_learn(failure)
                continue
            try:
                self._decide(failure)
            except Exception as error:  # noqa: BLE001  as in _take
                self._undecided.settle(failure)
                self._complain(type(error).__name__, f"a failure could not be decided ({failure.id}): {error!r}")
        self._publish()

    def _wait_to_learn(self, failure: Failure) -> None:
        """Pass over a failure of a run of which nothing is known, once that is no matter of moments any more."""
        if self._undecided.waits_since(failure) > time.time() - LEARNING_SECONDS:
            return
        self._undecided.settle(failure)
        self._history.observe(failure)
        self.passed_over += 1
        self._complain(
            f"unknown {failure.run_id}",
            f"run {failure.run_id} is left to decide by itself: it has not told how it is configured since this service"
            " looks back (--since); runs with decider='service' tell it again every 15 minutes",
        )

    def _decide(self, failure: Failure) -> None:
        ruling = self._ruling(failure.run_id)
        if ruling is None:
            self._history.observe(self._undecided.settle(failure) or failure)
            return
        self._undecided.settle(failure)
        if failure.categorization is None:
            failure = replace(failure, categorization=categorize(failure, self._history, self._rules))
        decision = self._plugins.change(failure, decide(failure, self._history, ruling.policy))
        decision = replace(
            decision, decider="service", serial="", order=0, policy_digest=ruling.digest, imposed=self._given
        )
        self._history.observe(failure)
        self._history.observe(decision)
        self._outbox.append((failure, decision))
        if len(self._outbox) >= _TOGETHER:
            self._publish()
        self.decided += 1
        self._plugins.decided(failure, decision)

    def _publish(self) -> None:
        if self._outbox:
            outbox, self._outbox = self._outbox, []
            self._emitter.emit(*(decision for _, decision in outbox))
            self._emitter.hurry()
            try:
                self._on_decisions(outbox)
            except Exception as error:  # noqa: BLE001  the border to whoever shows them, whose terminal may be gone
                self._complain(type(error).__name__, f"decisions could not be shown: {error!r}")

    def _is_ours(self, partition: int) -> bool:
        share = self._membership.share if self._membership is not None else None
        return share is None or partition in share

    def _is_share_new(self) -> bool:
        """Hear the group; whether it has given this member another share."""
        if self._membership is None:
            return False
        before = self._membership.share
        self._membership.poll()
        return self._membership.share != before

    def _complain_of_group(self) -> None:
        if self._membership is None:
            return
        if self._membership.share is None and time.monotonic() > self._began + _ADMISSION_SECONDS:
            self._complain(
                "group",
                f"consumer group {self._group!r} has not admitted this service within {_ADMISSION_SECONDS:g} s (the"
                " embedded broker takes about 23 s): until it does, this service decides all failures; what is decided"
                " twice counts once",
            )

    def _beat(self, state: str) -> None:
        self._emitter.emit(
            Heartbeat(
                run_id=ANY,
                time=time.time(),
                host=platform.node(),
                component=COMPONENT,
                state=state,
                period=PERIOD,
                pid=os.getpid(),
            )
        )

    def _complain(self, kind: str, message: str) -> None:
        """Say something once of each kind."""
        if kind not in self._complaints and len(self._complaints) < _MAX_RUNS:
            self._complaints.add(kind)
            log.warning("%s", one_line(message))  # it names what came from a topic
