"""One session of an endpoint: what becomes of its tasks, told as events in order, and what is decided."""

from __future__ import annotations

import time
from dataclasses import replace

from globus_compute_hooks import translate
from globus_compute_hooks.endpoint.attempts import Attempt
from globus_compute_hooks.endpoint.observation import Observation
from globus_compute_hooks.endpoint.open_tasks import Ledger
from globus_compute_hooks.endpoint.recorder import Story
from octopus_plugins.events import Decision, Failure, Stop, Task
from octopus_plugins.events.task import Earlier, with_earlier
from octopus_plugins.fabric import Emitter
from octopus_plugins.htex import reports
from octopus_plugins.plugins import Plugins
from octopus_plugins.wrath import BreakerPolicy, Policy, Standing, decide
from octopus_plugins.wrath.decisions.budget import terminated, within_budget
from octopus_plugins.wrath.policy.category import OTHER_BLOCK, OTHER_EXECUTOR, OTHER_NODE
from octopus_plugins.wrath.rules.rule import in_serializer

MOVED_IN_VAIN = 2
"""Tasks whose function failed alike on two nodes, from which on no other one is moved for it: the host itself would not
try again what a function raised."""

READING = " in unpack_and_deserialize"
"""In a traceback: the function of the host that reads a task, before it calls the task's own."""

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


class Session(Story):
    """What becomes of the tasks of an endpoint. See Story."""

    def __init__(
        self,
        emitter: Emitter,
        plugins: Plugins,
        policy: Policy,
        endpoint: str,
        retries: int,
        ledger: Ledger | None = None,
        *,
        own_policy: bool = False,
    ) -> None:
        super().__init__(emitter, plugins, for_endpoint(policy), endpoint, retries, ledger)
        self._own_policy = own_policy
        self.ever_seen = False
        """Whether any worker has observed a task."""

    def standing(self, now: float) -> Standing:
        """How the nodes of the endpoint stand; of a passive policy nothing is applied."""
        if self.policy.mode == "passive":
            return Standing()
        with self.lock:
            return self.history.standing(self.run_id, self.endpoint, now)

    def received(self, attempt: Attempt) -> None:
        """A task came from the web service. It is told with its launch: every write costs the engine a turn."""
        self.attempts.open(attempt)
        self._note(attempt)

    def launched(self, attempt: Attempt, now: float) -> None:
        """A try goes to the executor."""
        attempt.launched = now
        earlier: tuple[Earlier, ...] = ()
        if attempt.try_id:
            self._note(attempt)
        else:
            earlier = (Earlier("pending", attempt.submitted),)
        self.tell(translate.task_event(self._about(attempt), "launched", now, earlier=earlier))

    def succeeded(self, attempt: Attempt, seen: Observation | None) -> None:
        """A task ended well."""
        with self.lock:
            self._done += 1
            told = self._settled_try(attempt, seen)
            done = translate.task_event(self._about(attempt), "exec_done", time.time())
            self.tell(with_earlier(done, told))
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
            decision = decide(failure, self.history, self.policy)
            if decision.action == "retry":
                # Whoever starts later has not got what was to be run.
                why_not = "the endpoint no longer has what was to be run"
                decision = terminated(decision, failure, Stop.lost, why_not, rule="lost_task")
            about = {name: getattr(failure, name) for name in _SUBJECT}
            # The order of the earlier session's events is its own.
            for event in (failure, decision, translate.task_event(about, "failed", failure.time)):
                self.tell_again(event)
        self._plugins.decided(failure, decision)
        return failure, decision

    def _settled(self, failure: Failure, attempt: Attempt, *, system: bool) -> Decision:
        decision = self._plugins.change(failure, decide(failure, self.history, self.policy))
        if decision.action == "retry" and not system and decision.layer in translate.USERS_OWN:
            why_not = "an endpoint retries no error of a function's own"
            return terminated(decision, failure, Stop.users_own, why_not, rule="max_retries_on_system_failure")
        if decision.action == "retry" and not system and not self._may_run_again(failure):
            why_not = "its node is no worse than others, and only a policy of the endpoint's own retries what has run"
            return terminated(decision, failure, Stop.not_rerun, why_not, rule="max_retries_on_system_failure")
        if decision.action == "retry" and not system and self._moves_in_vain(failure):
            why_not = "what failed like it failed on the next node as well"
            return terminated(decision, failure, Stop.moved_in_vain, why_not, rule="moved_in_vain")
        return within_budget(decision, failure, self.retries - attempt.charged, self.retries)

    def _may_run_again(self, failure: Failure) -> bool:
        """Whether what a function raised may lead to another run of it: the host itself never does that.

        Where the owner of the endpoint gave a policy, that decides. Else only what could not be read, and so never
        ran, or failed on a node that stands out.
        """
        if self._own_policy or _was_not_read(failure):
            return True
        standing = self.history.standing(self.run_id, self.endpoint, failure.time)
        return failure.host in standing.denied or failure.host in standing.denied_for.get(failure.app or "", ())

    def _moves_in_vain(self, failure: Failure) -> bool:
        """Whether tasks that failed like this one failed on another node as well, and none ended well there."""
        defect = self.history.defect(failure)
        return defect is not None and defect.confirmed >= MOVED_IN_VAIN and not defect.moved

    def _settled_try(self, attempt: Attempt, seen: Observation | None) -> list[Task]:
        """Take in what the worker saw of a try; what is to be told of it."""
        if seen is None:
            return []
        self.ever_seen = True
        self._learn_name(attempt, seen.app)
        attempt.place, attempt.started, attempt.ended = seen.place, seen.started, seen.ended
        ended = translate.task_event(self._about(attempt), "running_ended", seen.ended, usage=reports.usage(seen.usage))
        return [*self._begun(attempt), ended]

    def forget(self, attempt: Attempt) -> None:
        """A task was answered without us."""
        self._close(attempt)

    def _close(self, attempt: Attempt) -> None:
        self.attempts.close(attempt)
        if self._ledger is not None:
            self._ledger.done(attempt.task_id)


def _was_not_read(failure: Failure) -> bool:
    """Whether the host failed to read a function or what it is given, and not to write what it returned."""
    return in_serializer(failure) and READING in (failure.traceback or "")


def for_endpoint(policy: Policy) -> Policy:
    """A policy as an endpoint has it.

    What is many users' functions is never stopped as one run. There is one executor: where a retry would move to
    another node, it may move to another block as well, and where it would move to another executor, to a block alone.
    """
    categories = {
        category: replace(entry, rungs=_with_blocks(entry.rungs)) for category, entry in policy.categories.items()
    }
    return replace(policy, categories=categories, breaker=BreakerPolicy(enabled=False))


def _with_blocks(rungs: tuple[str, ...]) -> tuple[str, ...]:
    if OTHER_BLOCK in rungs:
        return rungs
    found: list[str] = []
    for rung in rungs:
        found += [rung, OTHER_BLOCK] if rung == OTHER_NODE else [OTHER_BLOCK if rung == OTHER_EXECUTOR else rung]
    return tuple(dict.fromkeys(found))
