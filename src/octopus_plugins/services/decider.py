"""The decider service: consumes failures, keeps history across runs, publishes decisions."""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import time
from collections import OrderedDict
from collections.abc import Callable

from msgspec.structs import replace

from octopus_plugins.config import OctopusConfig
from octopus_plugins.errors import OctopusError, PolicyError
from octopus_plugins.events import ANY, Decision, Failure, Heartbeat, Run, Topic
from octopus_plugins.fabric import Emitter, ensure_topics, kafka_options
from octopus_plugins.fabric.follower import Arrival, Follower, Wanted
from octopus_plugins.fabric.membership import Membership
from octopus_plugins.plugins import Plugins, load_plugins
from octopus_plugins.services.lifesigns import COMPONENT, PERIOD
from octopus_plugins.services.undecided import Undecided
from octopus_plugins.wrath import DEFAULT_RULES, History, Policy, categorize, decide, policy_from

log = logging.getLogger("octopus_plugins")

TOO_LATE = 60.0
"""Seconds after which nobody waits for a decision on a failure any more."""

_FOLLOWED = (Topic.task_metrics, Topic.heartbeats, Topic.failures, Topic.decisions)
_MAX_RUNS = 10_000
_TOGETHER = 32  # decisions that are published at once
_ADMISSION_SECONDS = 5.0


class Decider:
    """Decides failures for workflows that ask for it.

    History goes across runs and is restored from the topics at the start. Each failure is decided once: not if the
    workflow decided it, not if it is older than `TOO_LATE`, and not for runs that say that they decide themselves.

    Attributes:
        decided: Decisions published.
        observed: Events taken in.
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
        on_decision: Callable[[Failure, Decision], None] = lambda failure, decision: None,
    ) -> None:
        """Prepare; opens nothing yet.

        Args:
            config: Which brokers.
            policy: Decides all runs; default: each run's own policy, or the built-in one where a run tells none.
            group: Consumer group that shares the failures out among several services; default: decide all.
            since: Seconds to look back at the start.
            plugins: Default: those installed.
            on_ready: Called when the history is restored and decisions begin.
            on_decision: Called with each decision that is published.

        Raises:
            ConfigError: No address of a broker is known.
            CredentialsError: The brokers cannot be spoken to with this configuration.
        """
        kafka_options(config)
        self.decided = 0
        self.observed = 0
        self._config = config
        self._given = policy is not None
        self._policy = policy or Policy.default()  # of runs that tell none
        self._group = group
        self._plugins = plugins if plugins is not None else load_plugins()
        self._rules = (*self._plugins.rules(), *DEFAULT_RULES)
        self._on_ready = on_ready
        self._on_decision = on_decision
        self._history = History()
        self._policies: OrderedDict[str, Policy | None] = OrderedDict()  # by run; None: it decides by itself
        self._undecided = Undecided()
        self._outbox: list[Decision] = []
        self._membership: Membership | None = None
        self._complaints: set[str] = set()
        begin = time.time() - since
        self._follower = Follower(config, *(Wanted(topic, begin) for topic in _FOLLOWED))

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
                if not ready:
                    ready = True
                    self._decide_waiting()
                    self._on_ready()
                if once:
                    break
                if time.monotonic() >= next_beat:
                    next_beat = time.monotonic() + PERIOD
                    self._beat("up")
                    self._share_out()
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
        if stale or self._undecided.is_decided(failure) or self._policy_of(failure.run_id) is None:
            self._history.observe(failure)
        elif arrival.live and self._is_ours(arrival.partition):
            self._decide(failure)
        else:  # its decision may be among what is still to be read, or another member's
            self._undecided.add(failure, arrival.partition)

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
        policy: Policy | None = self._policy
        if run.state == "ended" or run.labels.get("decider") == "workflow":
            policy = None
        elif run.policy and not self._given:
            try:
                policy = policy_from(run.policy)
            except PolicyError as error:  # of a newer version, or wrong: the run is decided all the same
                self._complain(
                    run.run_id, f"run {run.run_id} is decided by the built-in policy: its own is wrong: {error}"
                )
        self._policies[run.run_id] = policy
        if len(self._policies) > _MAX_RUNS:
            self._policies.popitem(last=False)

    def _policy_of(self, run_id: str) -> Policy | None:
        """The policy that a run is decided by; None where it decides by itself."""
        return self._policies.get(run_id, self._policy)

    def _decide_waiting(self) -> None:
        """Decide what waits and is ours; forget what came too late."""
        for failure in self._undecided.give_up(before=time.time() - TOO_LATE):
            self._history.observe(failure)
        for failure, partition in self._undecided.waiting():
            if self._is_ours(partition):
                try:
                    self._decide(failure)
                except Exception as error:  # noqa: BLE001  as in _take
                    self._undecided.settle(failure)
                    self._complain(type(error).__name__, f"a failure could not be decided ({failure.id}): {error!r}")
        self._publish()

    def _decide(self, failure: Failure) -> None:
        policy = self._policy_of(failure.run_id)
        if policy is None:
            return
        self._undecided.settle(failure)
        if failure.categorization is None:
            failure = replace(failure, categorization=categorize(failure, self._history, self._rules))
        decision = self._plugins.change(failure, decide(failure, self._history, policy))
        decision = replace(decision, decider="service", serial="", order=0)
        self._history.observe(failure)
        self._history.observe(decision)
        self._outbox.append(decision)
        if len(self._outbox) >= _TOGETHER:
            self._publish()
        self.decided += 1
        self._plugins.decided(failure, decision)
        self._on_decision(failure, decision)

    def _publish(self) -> None:
        if self._outbox:
            outbox, self._outbox = self._outbox, []
            self._emitter.emit(*outbox)
            self._emitter.hurry()

    def _is_ours(self, partition: int) -> bool:
        share = self._membership.share if self._membership is not None else None
        return share is None or partition in share

    def _share_out(self) -> None:
        if self._membership is None:
            return
        self._membership.poll()
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
            log.warning("%s", message)
