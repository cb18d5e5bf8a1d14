"""What a hub does about its run, beside streaming it: stops it, ends tries, steers nodes, waits for decisions."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from parsl.dataflow.dflow import DataFlowKernelLoader
from parsl.errors import NoDataFlowKernelError

from octopus_plugins.config import OctopusConfig
from octopus_plugins.events import Decision
from octopus_plugins.frameworks.timers import Delays
from octopus_plugins.services.decision_subscriber import DecisionInbox
from octopus_plugins.text import one_line
from octopus_plugins.wrath import Policy, Standing
from octopus_plugins.wrath.policy.policy import PAUSE
from parsl_monitor.errors import RunHaltedError
from parsl_monitor.run.attempts import Attempt, Attempts
from parsl_monitor.run.cancellation import Halts, end_unlaunched
from parsl_monitor.run.configuration import run_configured, warn_of_unknown_rungs
from parsl_monitor.run.handler import DecidingHandler
from parsl_monitor.run.monitor import RunWatch
from parsl_monitor.run.pending_decisions import Verdicts
from parsl_monitor.run.recorder import Story
from parsl_monitor.run.remote_decisions import Orders

if TYPE_CHECKING:
    from parsl_monitor.executor import ObservedExecutor
    from parsl_monitor.hub import OctopusMonitoringHub

logger = logging.getLogger("octopus_plugins")


TELL_AGAIN = 900.0
"""Seconds after which a run tells again how it is configured: a decider service decides no run that has not told it."""


_UNLAUNCHED = frozenset({"pending", "joining"})


class Governing:
    """Mixin of the hub. Nothing that Parsl's threads call in here raises or waits.

    Attributes:
        dfk: Parsl's DataFlowKernel; None until it is known.
        halts: What was stopped.
        verdicts: Failures that wait for a decider service.
        listen: Whether decisions from outside are heard.
    """

    # What the hub provides.
    attempts: Attempts
    listen: bool

    @property
    def story(self) -> Story:
        """What happens in the run."""
        raise NotImplementedError

    @property
    def _hub(self) -> OctopusMonitoringHub:
        return cast("OctopusMonitoringHub", self)

    def begin_governing(self) -> None:
        """Be ready for a run."""
        self.dfk: Any = None
        self.halts = Halts()
        self._delays = Delays("octopus-delays-hub")
        self.verdicts = Verdicts(self._delays)
        self._executors: list[ObservedExecutor] = []
        self._executors_told = 0
        self._handler: DecidingHandler | None = None
        self._inbox: DecisionInbox | None = None
        self._watch: RunWatch | None = None
        self._steering = threading.Lock()
        self._complained = False
        self._paused = False

    def begin_listening(self, config: OctopusConfig) -> None:
        """Hear from now on what people and services decide; returns at once."""
        if self.listen and self._inbox is None:
            self._inbox = DecisionInbox(config, self.story.run_id, Orders(self._hub).hear)
            self._inbox.start()

    def end_governing(self) -> None:
        """The run is over; takes a second or two at most."""
        for part in (self._inbox, self._watch, self.verdicts, self._delays):
            if part is not None:
                part.close()
        self._inbox = self._watch = None

    @property
    def policy(self) -> Policy | None:
        """The policy in force; None where there is no WrathRetryHandler, or while the run's is not known yet."""
        return self._handler.policy if self._handler is not None else None

    @property
    def speculates(self) -> bool:
        """Whether a try that seems to be lost may run a second time: by the user's word, tasks are idempotent."""
        return self.policy is not None and self.policy.stragglers.speculate and self.policy.mode != "passive"

    @property
    def watches_only(self) -> bool:
        """Whether nothing may be steered: the run has no retries, or its policy is passive, or it has none."""
        if self.policy is None or self.policy.mode == "passive":
            return True
        return self.dfk is not None and self.dfk.config.retries <= 0

    @property
    def strategy_scales(self) -> bool:
        """Whether Parsl's strategy launches blocks while the run goes on; False while the run's is not known yet."""
        return self.dfk is not None and self.dfk.config.strategy not in (None, "none")

    @property
    def executors(self) -> tuple[ObservedExecutor, ...]:
        """The observed executors of the run."""
        return tuple(self._executors)

    def register(self, executor: ObservedExecutor) -> None:
        """An observed executor of this run has started."""
        self._executors.append(executor)

    def learn(self, dfk: Any) -> None:
        """Take in the run's DataFlowKernel: at the first launch, or the first failure, and when it got executors.

        Tells how the run is configured, which decisions depend on.
        """
        if self.dfk is dfk and self._executors_told == len(dfk.executors):
            return
        with self.story.lock:
            if self.dfk is dfk and self._executors_told == len(dfk.executors):
                return
            handler = dfk.config.retry_handler
            self._handler = handler if isinstance(handler, DecidingHandler) else None
            self.story.policy = self.policy
            decider = self._handler.decider if self._handler is not None else "workflow"
            self.story.tell(run_configured(dfk, self.policy, time.time(), decider))
            self.dfk, self._executors_told = dfk, len(dfk.executors)
        if self.policy is not None:
            warn_of_unknown_rungs(self.policy, dfk.executors)
        if self._handler is not None and self._handler.decider == "service" and not self.listen:
            logger.warning("decider='service' needs OctopusMonitoringHub(listen=True): the workflow decides")
        if self._watch is None:
            self._watch = RunWatch(self._hub)
            self._watch.start()
            if decider == "service":
                self._delays.call(TELL_AGAIN, self._tell_again)
        self._soon(self.steer)

    @property
    def only_reader(self) -> bool:
        """Whether nobody but us sees what a try failed with that is tried again: no retry handler of the user's."""
        return self._handler is not None and self._handler.retry_handler is None

    def launched(self, attempt: Attempt) -> None:
        """Parsl waits for a try, whose record is known from now on; called in Parsl's thread that launches."""
        try:
            self.learn(attempt.record["dfk"])
            reason = self.halts.reason(str(attempt.record["id"]))
            if reason is not None:  # stopped between its submission and now
                self.fail(attempt, RunHaltedError(reason))
        except Exception:  # noqa: BLE001 - logged there
            self._complain("A launch could not be taken in; the run goes on (said once)")

    def hold(self, attempt: Attempt, release: Callable[[], None]) -> bool:
        """Whether a failed try is held back, for a decider service; see WrathRetryHandler.

        Args:
            attempt: What failed, and with what.
            release: Settles the future that Parsl holds.
        """
        try:
            held = self._handler is not None and self._handler.hold(self._hub, attempt, release)
            if held and self.halts.reason(str(attempt.record["id"])) is not None:  # stopped since that was looked at
                self.verdicts.release(str(attempt.record["id"]))
            return held
        except Exception:  # noqa: BLE001 - logged there
            self._complain("A failure could not be told to the decider service; the workflow decides (said once)")
            return False

    def fail(self, attempt: Attempt, error: BaseException) -> None:
        """End a try with an error, unless it has ended; what comes of it later is ignored.

        Not to be called with the story's lock held: Parsl's own callbacks run in here.
        """
        if attempt.outer is not None and not attempt.outer.done():
            attempt.outer.set_exception(error)

    def end_task(self, task_id: str, reason: str) -> None:
        """End a task, wherever it is: it waits, it runs, it failed and waits for a decider service, or it joins others.

        Args:
            task_id: Parsl's task, which was stopped.
            reason: Who stopped it, and why, for people.
        """
        error = RunHaltedError(reason)
        attempt = self.attempts.of_task(task_id)
        if attempt is not None:
            self.fail(attempt, error)
        self.verdicts.release(task_id)
        if self.dfk is None:
            self._look_for_dfk()
        if self.dfk is not None:
            end_unlaunched(self.dfk, task_id, error)

    def _look_for_dfk(self) -> None:
        """Take the DataFlowKernel that is loaded, where no launch and no failure has told ours."""
        with contextlib.suppress(NoDataFlowKernelError):
            loaded = DataFlowKernelLoader.dfk()
            if loaded.monitoring is self:
                self.learn(loaded)

    def heed_stops(self, task_id: str, state: str) -> None:
        """A task that was stopped goes on to wait or to join; called in Parsl's threads. Returns at once."""
        if self._paused and state == "exec_done":
            self._soon(self._go_on)
        if state not in _UNLAUNCHED or self.halts.reason() is not None:
            return  # where the whole run is stopped, all that such a task waits for fails
        reason = self.halts.reason(task_id)
        if reason is not None:
            self._soon(lambda: self.end_task(task_id, reason))

    def halt(self, reason: str) -> None:
        """Stop the run: what is under way on observed executors fails at once, and they are given nothing more.

        Returns at once; a thread of ours ends the tasks.

        Args:
            reason: Who stops it, and why, for people.
        """
        if self.halts.stop_run(reason):
            logger.warning("Run %s is stopped: %s", self.story.run_id, one_line(reason))
            self._soon(self._end_outstanding)

    def apply(self, decision: Decision) -> None:
        """Do what a decision asks for beside its task: stop the run, deny nodes. Returns at once."""
        if decision.halts_run:
            self.halt(decision.reason)
        elif decision.systemic:
            self._report_systemic(decision)
        if decision.deny_hosts:
            self._soon(self.steer)

    def _report_systemic(self, decision: Decision) -> None:
        """Say, once, that nearly everything in the run fails for one cause; pause it where the user wants that."""
        pauses = decision.on_systemic == PAUSE
        if pauses:
            self._soon(self.pause)
        logger.warning(
            "Run %s: %s (%s: %s). %s To stop it: octopus decide terminate --run %s",
            self.story.run_id,
            decision.systemic,
            decision.category,
            one_line(decision.reason),
            "It is paused: a few tasks at a time go on until one ends well." if pauses else "It goes on.",
            self.story.run_id,
        )

    def pause(self) -> None:
        """Let only a few tasks at a time through, until one ends well."""
        if not self._paused:
            self._paused = True
            self.steer()

    def _go_on(self) -> None:
        if not self._paused:
            return
        self._paused = False
        logger.warning("Run %s goes on: a task has ended well", self.story.run_id)
        self.steer()

    def steer(self) -> None:
        """Tell every observed executor how its nodes stand."""
        with self._steering:  # of two standings the later one stays
            for executor in self.executors:
                with self.story.lock:
                    standing = self.story.history.standing(self.story.run_id, executor.label, time.time())
                if self.watches_only:
                    standing = Standing(denied=standing.denied, barred=standing.barred)  # only what a person asked for
                standing = replace(standing, paused=self._paused)
                try:
                    executor.steer(standing)
                except OSError as error:
                    logger.warning("The standing of executor %r's nodes cannot be written: %s", executor.label, error)

    def _tell_again(self) -> None:
        self._delays.call(TELL_AGAIN, self._tell_again)
        self.story.tell_again(run_configured(self.dfk, self.policy, time.time(), "service"))

    def service_alive(self) -> bool:
        """Whether a decider service gives signs of life."""
        return self._inbox is not None and self._inbox.service_alive()

    def _end_outstanding(self) -> None:
        self.verdicts.release_all()
        reason = self.halts.reason() or ""
        for attempt in self.attempts.outstanding():
            self.fail(attempt, RunHaltedError(reason))

    def _soon(self, function: Callable[[], None]) -> None:
        """Call it off Parsl's threads."""
        self._delays.call(0.0, function)

    def _complain(self, message: str) -> None:
        if not self._complained:
            self._complained = True
            logger.exception(message)
