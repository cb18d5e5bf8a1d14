"""What happened so far, as far as categorising and deciding need it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

import msgspec

from octopus_plugins.events import ANY, Block, Categorization, Decision, Event, Failure, Heartbeat, Pool, Run, Task
from octopus_plugins.events import WorkerState as Worker
from octopus_plugins.events.failure import MAX_MESSAGE
from octopus_plugins.wrath.history.comparison import Comparison
from octopus_plugins.wrath.history.denylist import Denials
from octopus_plugins.wrath.history.fingerprint import signature
from octopus_plugins.wrath.history.health import Host, Tally
from octopus_plugins.wrath.history.lru import Recent
from octopus_plugins.wrath.history.node_faults import NODE_FAULTS, NOT_COMPARED, at_fault, cause_of, fault_of
from octopus_plugins.wrath.history.node_standing import Standing
from octopus_plugins.wrath.history.run_state import MAX_DEFECT_HOSTS, BlockState, Defect, RunState, TaskState
from octopus_plugins.wrath.history.run_times import RunTimes

__all__ = ["NODE_FAULTS", "History"]

MAX_TASKS = 100_000
MAX_RUNS = 1_000
MAX_HOSTS = 20_000
MAX_APPS = 20_000
MAX_TIMED_APPS = 5_000
MAX_EXECUTORS = 1_000
"""Executors of a run whose nodes are remembered."""

MAX_NAMES = 50_000
MAX_GOOD_HOSTS = 16
"""Nodes of an executor remembered for having just ended a task well."""

FINAL_STATES = frozenset({"exec_done", "memo_done", "failed", "dep_fail"})
"""Parsl's states after which a task is not heard of again."""

WORKER_STATES = frozenset({"running", "running_ended"})
"""States whose time is told by the worker's clock; all others are told by the submit side's."""


class _Place(msgspec.Struct, gc=False):
    """Where a running try runs, and since when, by its worker's clock."""

    app: str | None = None
    executor: str | None = None
    host: str | None = None
    started: float | None = None
    ended: float | None = None


class History:
    """What happened so far, from the events; one thread at a time.

    Memory is bounded: a task's state is dropped when the task ends, and the rest is forgotten by age of use. Tasks,
    blocks, denials, known hosts and how apps and executors fare belong to a run: in another one those of the same name
    may be others. How nodes fare, and how long apps take, goes across runs.

    Args:
        maximum_tasks: Failed or running tasks remembered.
    """

    def __init__(self, *, maximum_tasks: int = MAX_TASKS) -> None:
        self.errors = 0
        """Events that could not be taken in."""
        self._runs: Recent[str, RunState] = Recent(MAX_RUNS, RunState)
        self._tasks: Recent[tuple[str, str], TaskState] = Recent(maximum_tasks, TaskState)
        self._places: Recent[tuple[str, str], _Place] = Recent(maximum_tasks, _Place)
        self._hosts: Recent[str, Host] = Recent(MAX_HOSTS, Host)
        self._apps: Recent[tuple[str, str], Tally] = Recent(MAX_APPS, Tally)
        self._executors: Recent[tuple[str, str], Tally] = Recent(MAX_APPS, Tally)
        self._app_hosts: Recent[tuple[str, str, str], Tally] = Recent(MAX_HOSTS, Tally)
        self._run_times: Recent[str, RunTimes] = Recent(MAX_TIMED_APPS, RunTimes)
        self._good_hosts: Recent[str, Recent[str, float]] = Recent(MAX_APPS, lambda: Recent(MAX_GOOD_HOSTS, float))
        self._dead_workers: Recent[tuple[str, int], Worker] = Recent(MAX_HOSTS, lambda: Worker(pid=0))
        self.denials = Denials()
        self._names: Recent[str, str] = Recent(MAX_NAMES, str)

    def observe(self, event: Event) -> None:
        """Take in an event. A second copy of a failure or decision changes nothing; never raises."""
        try:
            if isinstance(event, Task):  # most events are
                run = self._runs.ensure(event.run_id)
                if event.time > run.now and event.state not in WORKER_STATES:
                    run.now = event.time
                self._observe_task(event, run)
                return
            if _told_by_submit_side(event):
                run = self._runs.ensure(event.run_id)
                run.now = max(run.now, event.time)
                run.began = run.began or event.time
            if isinstance(event, Heartbeat):
                self._observe_heartbeat(event)
            elif isinstance(event, Failure):
                self._observe_failure(event)
            elif isinstance(event, Decision):
                self._observe_decision(event)
            elif isinstance(event, Block):
                self._observe_block(event)
            elif isinstance(event, Run):
                self._observe_run(event)
        except Exception:  # noqa: BLE001
            # The border to what comes from a topic or a plugin: an event that lies about its types costs only itself.
            self.errors += 1

    # -- what categorising and deciding ask ---------------------------------------------------------------------------

    def run(self, run_id: str) -> RunState | None:
        """What is known of a run."""
        return self._runs.get(run_id)

    def halted(self, run_id: str) -> str | None:
        """Why a run was stopped; None where it was not."""
        run = self._runs.get(run_id)
        return run.halted if run else None

    def pool(self, run_id: str, executor: str | None) -> Pool | None:
        """An executor as the run's configuration describes it."""
        run = self._runs.get(run_id)
        return run.pools.get(executor) if run and executor else None

    def hosts(self, run_id: str, executor: str | None) -> OrderedDict[str, float]:
        """The known hosts of an executor in a run, with the Unix time when each was last seen; the latest last."""
        run = self._runs.get(run_id)
        return run.hosts.get(executor, _NO_HOSTS) if run and executor else _NO_HOSTS

    def good_hosts(self, executor: str | None) -> list[str]:
        """A few hosts of an executor where a task just ended well, the latest first."""
        found = self._good_hosts.get(executor) if executor else None
        return list(found.latest()) if found is not None else []

    def block(self, run_id: str, executor: str | None, block: str | None) -> BlockState | None:
        """A scheduler job of a run."""
        run = self._runs.get(run_id)
        return run.blocks.get((executor, block)) if run and executor and block else None

    def task(self, run_id: str, task_id: str) -> TaskState | None:
        """A task that has failed before and not yet ended."""
        return self._tasks.get((run_id, task_id))

    def host(self, host: str | None) -> Host | None:
        """What is known of a node."""
        return self._hosts.get(host) if host else None

    def app(self, run_id: str, app: str | None) -> Tally | None:
        """How an app fares in a run."""
        return self._apps.get((run_id, app)) if app else None

    def app_on(self, run_id: str, app: str | None, host: str | None) -> Tally | None:
        """How an app fares in a run on a node."""
        return self._app_hosts.get((run_id, app, host)) if app and host else None

    def executor(self, run_id: str, executor: str | None) -> Tally | None:
        """How tasks fare in a run on an executor, but for failures that are no executor's fault."""
        return self._executors.get((run_id, executor)) if executor else None

    def run_times(self, app: str | None) -> RunTimes | None:
        """How long the tries of an app take that end well."""
        return self._run_times.get(app) if app else None

    def dead_worker(self, host: str | None, pid: int | None) -> Worker | None:
        """A worker process that a heartbeat reported as ended."""
        return self._dead_workers.get((host, pid)) if host and pid else None

    def succeeded_elsewhere(self, run_id: str, app: str | None, host: str | None) -> bool:
        """Whether an app succeeded in this run on another node than this one."""
        everywhere, here = self.app(run_id, app), self.app_on(run_id, app, host)
        return everywhere is not None and everywhere.successes > (here.successes if here else 0)

    def faulty_hosts(self, failure: Failure, categorization: Categorization) -> Mapping[str, float]:
        """Hosts where this app failed in this run in the same category, for want of the same thing, and when last."""
        run = self._runs.get(failure.run_id)
        found = run.faults.get(fault_of(failure, categorization)) if run else None
        return found if found is not None else {}

    def defect(self, failure: Failure) -> Defect | None:
        """What is known of this very failure of this app across the tasks of the run."""
        run = self._runs.get(failure.run_id)
        return run.defects.get((failure.app, signature(failure))) if run and failure.app else None

    def comparison(self, run_id: str, executor: str | None, app: str | None) -> Comparison | None:
        """How an app that failed in a run fares on each node of an executor; None where it never failed there."""
        run = self._runs.get(run_id)
        return run.comparisons.get((executor or "", app or "")) if run else None

    def is_denied(self, host: str, time: float, run_id: str, app: str | None = None) -> bool:
        """Whether a node gets no new tasks of a run at that Unix time, or none of an app.

        Args:
            host: The node.
            time: Unix seconds.
            run_id: The run.
            app: The app; None for any.
        """
        return self.denials.is_denied(host, time, run_id, app or "")

    def denied_hosts(self, time: float, run_id: str) -> dict[str, float]:
        """The nodes that get no new tasks of a run at that Unix time, with the time until when."""
        return self.denials.current(time, run_id)

    def standing(self, run_id: str, executor: str | None, time: float) -> Standing:
        """How the nodes of an executor stand at that Unix time.

        Args:
            run_id: The run.
            executor: Label of the executor; denials are told of all nodes of the run.
            time: Unix seconds.
        """
        scores = {
            host: round(known.tally.score(time), 4)
            for host in self.hosts(run_id, executor)
            if (known := self._hosts.get(host)) is not None and known.tally.at
        }
        return Standing(
            self.denied_hosts(time, run_id),
            self.denials.probation(time, run_id),
            scores,
            denied_for=self.denials.current_by_app(time, run_id),
            barred=self.denials.barred(time, run_id),
        )

    # -- taking in ----------------------------------------------------------------------------------------------------

    def _observe_run(self, event: Run) -> None:
        if event.state == "ended":
            self._runs.pop(event.run_id, None)
            self.denials.forget(event.run_id)
            return
        run = self._runs.ensure(event.run_id)
        # A run speaks more than once (started, configured, a pool added): what it leaves out still holds.
        run.retries = run.retries if event.retries is None else event.retries
        run.versions = event.versions or run.versions
        run.pools = {pool.label: pool for pool in event.pools} or run.pools

    def _observe_block(self, event: Block) -> None:
        block = self._runs.ensure(event.run_id).blocks.ensure((event.executor, event.block))
        state = event.state.rpartition(".")[2]  # Parsl writes "JobState.RUNNING" in places
        if state == "RUNNING" and block.started is None:
            block.started = event.time
        block.state = state

    def _observe_heartbeat(self, event: Heartbeat) -> None:
        if event.component in ("decider", "sdk"):
            return  # the host of a service, or of who submits, says nothing of the nodes of a run
        run = self._runs.ensure(event.run_id)
        run.heard = True
        self._hosts.ensure(event.host).observe_heartbeat(event, run.now)
        for worker in event.workers:
            if not worker.alive:
                self._dead_workers.put((event.host, worker.pid), worker)
        if event.executor:
            _see(run, event.executor, event.host, event.time)

    def _observe_task(self, event: Task, run: RunState) -> None:
        run.heard = True
        for each in event.earlier:
            self._observe_state(run, event, each.state, each.time)
            _count_state(run, event, each.state)
        if event.state not in FINAL_STATES:
            self._observe_state(run, event, event.state, event.time)
            _count_state(run, event, event.state)
            return
        key = (event.run_id, event.task_id)
        task = self._tasks.pop(key, None)
        place = self._places.pop(key, None) or _NOWHERE
        run.end_task(event.app or place.app or "")
        if event.state in ("exec_done", "memo_done"):
            run.done += 1
        if event.state == "exec_done":
            app, host = event.app or place.app, event.host or place.host
            self._count_success(place, event, run, first=task is None or not task.shown)
            if task is not None and task.shown:
                _note_recovery(run, event.executor or place.executor, app, task, host)
            if app and place.started is not None and place.ended is not None:
                self._run_times.ensure(app).add(place.ended - place.started)

    def _observe_state(self, run: RunState, event: Task, state: str, time: float) -> None:
        if not event.host:
            return
        if event.executor:
            _see(run, event.executor, event.host, time)
        key = (event.run_id, event.task_id)
        known = self._places.get(key)
        if known is None or state != "running_ended":
            started = time if state == "running" else None
            known = _Place(self._name(event.app), self._name(event.executor), self._name(event.host), started)
            self._places.put(key, known)
        if state == "running_ended":
            known.app, known.executor = known.app or event.app, known.executor or event.executor
            known.host, known.ended = event.host, time

    def _observe_failure(self, event: Failure) -> None:
        key = (event.run_id, event.task_id)
        task = self._tasks.ensure(key)
        if event.try_id <= task.last_failed:
            return
        task.last_failed = event.try_id
        self._places.pop(key, None)
        categorization = event.categorization or self._categorize(event)
        category, host = self._name(categorization.category) or "", self._name(event.host)
        shown = self._name(signature(event)) or ""
        run = self._runs.ensure(event.run_id)
        _compare(run, (event.executor or "", event.app or ""), task, host, category)
        repeated = bool(task.showings(shown))
        confirmed = task.fail(category, shown, host or "", event.time)
        run.failures += 1
        if category == "executor_bad_state" and event.executor and len(run.bad_pools) < MAX_EXECUTORS:
            run.bad_pools.add(event.executor)
        if event.app:
            defect = run.defects.ensure((event.app, shown))
            _note_defect(defect, event, host, confirmed=confirmed)
            defect.repeated += repeated
            defect.tasks += not repeated
        if host:
            self._observe_failure_on(host, event, categorization, run)
        executor = event.executor if at_fault(categorization) else None
        for tally in self._tallies(event.run_id, event.app, executor, host):
            tally.fail(event.time)

    def _observe_failure_on(self, host: str, event: Failure, categorization: Categorization, run: RunState) -> None:
        known = self._hosts.ensure(host)
        if at_fault(categorization):
            known.tally.fail(event.time)
        if categorization.category in NODE_FAULTS:
            run.fault(fault_of(event, categorization), host, event.time)
        self.denials.fail(event.run_id, host, event.app or "")
        if event.executor:
            _see(run, event.executor, host, event.time)
        if event.node is not None:
            known.observe_node(event.node)

    def _observe_decision(self, event: Decision) -> None:
        active = event.mode == "active"
        if event.action in ("deny", "allow"):
            if active:
                self.denials.observe(event)
            return
        stops = event.task_id == ANY or (event.halts_run and not _is_proposal(event))
        if active and event.action == "terminate" and stops:
            self._halt(event)
        if event.task_id == ANY:
            return
        self._observe_verdict(event, active=active)
        if active:
            self.denials.observe(event)

    def _observe_verdict(self, event: Decision, *, active: bool) -> None:
        key = (event.run_id, event.task_id)
        task, run = self._tasks.get(key), self._runs.get(event.run_id)
        if event.systemic and run is not None:
            run.systemic = True
        final = not _is_proposal(event)
        ends = active and event.action == "terminate"
        if not final and task is not None and event.try_id <= task.last_decided:
            return  # it came too late: the run has decided
        if ends:
            if task is not None and task.shown and run is not None and event.layer != "framework" and not task.given_up:
                task.given_up = cause_of(event.category, task.latest)
                run.give_up(task.given_up)
            if final:
                self._tasks.pop(key, None)
            return
        task = task if task is not None else self._tasks.ensure(key)
        if final and run is not None:
            run.waited += event.delay
        if final and event.placement is not None:
            rung = event.category, event.placement.rung
            task.rungs[rung] = task.rungs.get(rung, 0) + 1
        if task.given_up and final:
            if run is not None:
                run.take_back(task.given_up)
            task.given_up = None
        if event.try_id > task.last_decided:
            task.last_decided, task.last_charge = event.try_id, event.charge
            task.charge += event.charge
        elif final and event.try_id == task.last_decided:
            task.charge += event.charge - task.last_charge
            task.last_charge = event.charge

    def _halt(self, event: Decision) -> None:
        runs = [self._runs.ensure(event.run_id)] if event.run_id != ANY else [run for _, run in self._runs.items()]
        for run in runs:
            run.halted = run.halted or event.reason[:MAX_MESSAGE] or "it was stopped"

    @staticmethod
    def _categorize(event: Failure) -> Categorization:
        from octopus_plugins.wrath.rules.categorizer import categorize

        return categorize(event)

    def _name(self, text: str | None) -> str | None:
        """One string for equal ones: each decoded event brings copies of its own."""
        if text is None:
            return None
        known = self._names.get(text)
        if known is None:
            self._names.put(text, text)
            return text
        return known

    def _tallies(self, run_id: str, app: str | None, executor: str | None, host: str | None) -> list[Tally]:
        found = []
        if app:
            found.append(self._apps.ensure((run_id, app)))
            if host:
                found.append(self._app_hosts.ensure((run_id, app, host)))
        if executor:
            found.append(self._executors.ensure((run_id, executor)))
        return found

    def _count_success(self, place: _Place, event: Task, run: RunState, *, first: bool) -> None:
        app, executor = event.app or place.app, event.executor or place.executor
        host = event.host or place.host
        comparison = run.comparisons.get((executor or "", app or ""))
        if comparison is not None and first:
            comparison.succeed(host)
        for tally in self._tallies(event.run_id, app, executor, host):
            tally.succeed(event.time)
        if not host:
            return
        self._hosts.ensure(host).observe_success(event.time)
        if executor:
            self._good_hosts.ensure(executor).put(host, event.time)
        if self.denials.succeed(event.run_id, host, event.time, app or "", place.started) and comparison is not None:
            comparison.forgive(host)


_NOWHERE = _Place()
_NO_HOSTS: OrderedDict[str, float] = OrderedDict()


def _see(run: RunState, executor: str, host: str, time: float) -> None:
    hosts = run.hosts.get(executor)
    if hosts is None:
        if len(run.hosts) >= MAX_EXECUTORS:
            return
        hosts = run.hosts[executor] = OrderedDict()
    seen = hosts.get(host)
    if seen is not None:
        hosts[host] = max(time, seen)
        hosts.move_to_end(host)
    elif len(hosts) < MAX_HOSTS:
        hosts[host] = time


def _note_defect(defect: Defect, event: Failure, host: str | None, *, confirmed: bool) -> None:
    message = event.exception.message
    if defect.message is None:
        defect.message = message[:400]
    elif defect.message != message[:400]:
        defect.varied = True
    if host and len(defect.hosts) < MAX_DEFECT_HOSTS:
        defect.hosts.add(host)
    defect.confirmed += confirmed


def _count_state(run: RunState, event: Task, state: str) -> None:
    if event.try_id == 0 and state == "pending":
        run.submitted += 1
        run.open_task(event.app or "")


def _compare(run: RunState, key: tuple[str, str], task: TaskState, host: str | None, category: str) -> None:
    """Take in a failure for the comparison of nodes: that of a task's first try, and what became of it elsewhere."""
    if not host or category in NOT_COMPARED:
        return
    comparison, before = run.comparisons.ensure(key), task.failed_on()
    for other in before - {host}:
        spell = comparison.nodes.get(other)
        if spell is not None:
            spell.failed_elsewhere += 1
    if not task.shown:
        comparison.fail(host)


def _note_recovery(run: RunState, executor: str | None, app: str | None, task: TaskState, host: str | None) -> None:
    """A task that had failed ended well: what it had failed with is no proof, and where, perhaps one of the node."""
    if app:
        moved = host not in task.failed_on()
        for shown in {one.signature for one in task.shown}:
            defect = run.defects.get((app, shown))
            if defect is not None:
                defect.recovered += 1
                defect.moved += moved
    comparison = run.comparisons.get((executor or "", app or ""))
    left = task.failed_on() - {host or ""}
    if comparison is None or not host or not left:
        return
    for other in left:
        if (spell := comparison.nodes.get(other)) is not None:
            spell.cured += 1
    if (spell := comparison.nodes.get(host)) is not None:
        spell.cured_here += len(left)


def _is_proposal(event: Decision) -> bool:
    """Whether a service decided this, and not yet its run, which tells what it made of it with a place in its order."""
    return event.decider == "service" and not event.order


def _told_by_submit_side(event: Event) -> bool:
    if isinstance(event, Heartbeat):
        return event.component == "manager"
    if isinstance(event, Decision):
        return event.decider == "workflow"
    return isinstance(event, (Failure, Block, Run))
