"""The inbox: what a decider service and people decide, as a workflow hears of it."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable

from msgspec.structs import replace

from octopus_plugins.config import OctopusConfig
from octopus_plugins.events import ANY, Decision, Heartbeat, Topic
from octopus_plugins.fabric.kafka.follower import Arrival, Follower, Wanted
from octopus_plugins.services.liveness import COMPONENT, LifeSigns

log = logging.getLogger("octopus_plugins")

STANDING_SECONDS = 86_400.0
"""The longest that a person's denial of a node can last: an inbox looks no further back for those."""

EMBEDDED_WAIT = 100
"""Milliseconds by which an embedded broker may delay what is decided; at 10 its fetches cost 5 to 12 % of a core."""

_CLOSE_SECONDS = 1.0
_CLOCK_SLACK = 60.0  # seconds that the clock of whoever decides may be behind ours
_DECIDERS = frozenset({"service", "person"})


class DecisionInbox:
    """Hears what a decider service and people decide about one run. Costs a thread that sleeps nearly always.

    It begins a minute before itself. What people denied earlier and still holds is looked up beside, once, in a thread
    that then ends: what is decided meanwhile does not wait for a day of everybody's decisions to be read.

    It never raises and never waits for the network, but in its own thread: a broker that is away is said once in
    the log, and waited for.
    """

    def __init__(self, config: OctopusConfig, run_id: str, on_decision: Callable[[Decision], None]) -> None:
        """Prepare; opens nothing yet.

        Args:
            config: Which brokers.
            run_id: The run.
            on_decision: Called in the inbox's own thread with each decision of a service or a person on this run or
                on all (`ANY`), once, made after the inbox began; and with denials of nodes that people made within
                the last `STANDING_SECONDS` and that are still in force. What it raises is logged.
        """
        self._run_id = run_id
        self._on_decision = on_decision
        self._began = time.time()
        self._standing: dict[str, Decision] = {}  # by host: made before we began, in force
        self._recalled = False  # whether all of these are known
        self._allowed: set[str] = set()  # hosts that were let off since we began
        self._life = LifeSigns()
        self._complained = False
        mine = (f"{run_id}/".encode(), f"{ANY}/".encode())
        of_deciders = f"{ANY}/".encode()
        self._follower = Follower(
            config,
            Wanted(Topic.decisions, self._began - _CLOCK_SLACK, lambda key: key.startswith(mine)),
            Wanted(Topic.heartbeats, None, lambda key: key.startswith(of_deciders)),
            embedded_wait=EMBEDDED_WAIT,
            level=logging.INFO,  # whoever produces the run's events warns of a broker that is away
        )
        everyone_s = f"{ANY}/".encode()
        past = Wanted(Topic.decisions, self._began - STANDING_SECONDS, lambda key: key.startswith(everyone_s))
        self._past = Follower(config, past, level=logging.DEBUG)
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin to listen; returns at once."""
        if not self._threads:
            for target, name in ((self._run, "octopus-inbox"), (self._recall, "octopus-inbox-past")):
                self._threads.append(threading.Thread(target=target, name=name, daemon=True))
                self._threads[-1].start()

    def service_alive(self) -> bool:
        """Whether a decider's heartbeat arrived within 3 of its periods, by this process's monotonic clock."""
        return self._life.alive(time.monotonic())

    def close(self) -> None:
        """Stop listening; takes a second at most. Not to be called by ``on_decision``."""
        self._follower.close()
        self._past.close()
        deadline = time.monotonic() + _CLOSE_SECONDS
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(deadline - time.monotonic(), 0.0))

    def _run(self) -> None:
        try:
            for arrivals in self._follower.read_batches():
                for arrival in arrivals:
                    self._take(arrival)
                if self._recalled and self._standing and self._follower.caught_up:
                    self._hand_over_standing()
        except Exception:
            # The border of the thread: the workflow goes on without remote decisions.
            log.exception("decisions of the service and of people are no longer heard in run %s", self._run_id)
        finally:
            self._life.forget()

    def _recall(self) -> None:
        """Look up what people denied before; what they still deny is handed over by the other thread."""
        try:
            with contextlib.closing(self._past.read_batches()) as batches:
                for arrivals in batches:
                    for arrival in arrivals:
                        if isinstance(arrival.event, Decision) and arrival.event.time < self._began - _CLOCK_SLACK:
                            self._keep_standing(arrival.event)
                    if self._past.caught_up:
                        self._recalled = True
                        return
        except Exception:
            # The border of the thread, as in _run.
            log.exception("what people denied before run %s began is not known to it", self._run_id)

    def _hand_over_standing(self) -> None:
        standing = {decision.id: decision for decision in self._standing.values()}
        self._standing.clear()
        for decision in standing.values():
            hosts = {host: until for host, until in decision.deny_hosts.items() if host not in self._allowed}
            if hosts:
                self._hand_over(replace(decision, deny_hosts=hosts))

    def _take(self, arrival: Arrival) -> None:
        event = arrival.event
        if isinstance(event, Heartbeat):
            # What lay in the topic before we came says nothing about now.
            if event.component == COMPONENT and arrival.live:
                self._life.hear(event, time.monotonic())
        elif isinstance(event, Decision) and event.decider in _DECIDERS and event.run_id in (self._run_id, ANY):
            if event.action == "allow":
                self._allowed |= event.deny_hosts.keys()
            self._hand_over(event)

    def _keep_standing(self, decision: Decision) -> None:
        """Remember a person's denial on all runs that was made before this one, until it is lifted."""
        if decision.run_id != ANY or decision.decider != "person":
            return
        for host, until in decision.deny_hosts.items():
            if decision.action == "allow":
                self._standing.pop(host, None)
            elif decision.action == "deny" and until > self._began:
                self._standing[host] = decision

    def _hand_over(self, decision: Decision) -> None:
        try:
            self._on_decision(decision)
        except Exception:
            # The border to the workflow's code: the next decision must still be heard.
            if not self._complained:
                self._complained = True
                log.exception("a decision of the %s could not be taken in (said once)", decision.decider)
