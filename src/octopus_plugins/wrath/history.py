"""What happened so far, as far as categorising and deciding need it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from octopus_plugins.events import Block, Categorization, Decision, Event, Failure, Heartbeat, Pool, Run, Task
from octopus_plugins.events import WorkerState as Worker
from octopus_plugins.wrath.health import Host, Tally
from octopus_plugins.wrath.recent import Recent
from octopus_plugins.wrath.run_state import BlockState, RunState, TaskState
from octopus_plugins.wrath.signatures import signature
from octopus_plugins.wrath.taxonomy import Category

MAX_TASKS = 100_000
MAX_RUNS = 1_000
MAX_HOSTS = 20_000
MAX_APPS = 20_000
MAX_SIGNATURES = 16

FINAL_STATES = frozenset({"exec_done", "memo_done", "failed", "dep_fail"})
"""Parsl's states after which a task is not heard of again."""

WORKER_STATES = frozenset({"running", "running_ended"})
"""States whose time is told by the worker's clock; all others are told by the submit side's."""

NODE_FAULTS = frozenset(
    category.value
    for category in (
        Category.disk_full,
        Category.executable_missing,
        Category.file_descriptors_exhausted,
        Category.filesystem_error,
        Category.gpu_error,
        Category.library_missing,
        Category.module_missing,
        Category.node_unhealthy,
        Category.permission_denied,
        Category.process_limit,
        Category.version_mismatch,
    )
)
"""Categories that speak against the node. Lost and preempted nodes are not to blame, nor is one for the network."""


class History:
    """What happened so far, from the events; one thread at a time.

    Memory is bounded: a task's state is dropped when the task ends, and the rest is forgotten by age of use. Tasks,
    blocks and known hosts belong to a run; statistics of hosts, apps and executors go across runs.

    Args:
        maximum_tasks: Failed or running tasks remembered.
    """

    def __init__(self, *, maximum_tasks: int = MAX_TASKS) -> None:
        self.errors = 0
        """Events that could not be taken in."""
        self._runs: Recent[str, RunState] = Recent(MAX_RUNS, RunState)
        self._tasks: Recent[tuple[str, str], TaskState] = Recent(maximum_tasks, TaskState)
        self._places: Recent[tuple[str, str], tuple[str | None, str | None, str | None]] = Recent(
            maximum_tasks, lambda: (None, None, None)
        )
        self._hosts: Recent[str, Host] = Recent(MAX_HOSTS, Host)
        self._apps: Recent[str, Tally] = Recent(MAX_APPS, Tally)
        self._executors: Recent[str, Tally] = Recent(MAX_APPS, Tally)
        self._app_hosts: Recent[tuple[str, str], Tally] = Recent(MAX_HOSTS, Tally)
        self._dead_workers: Recent[tuple[str, int], Worker] = Recent(MAX_HOSTS, lambda: Worker(pid=0))
        self._denied: dict[str, float] = {}

    def observe(self, event: Event) -> None:
        """Take in an event. A second copy of a failure or decision changes nothing; never raises."""
        try:
            if _told_by_submit_side(event):
                run = self._runs.ensure(event.run_id)
                run.now = max(run.now, event.time)
            if isinstance(event, Task):
                self._observe_task(event)
            elif isinstance(event, Heartbeat):
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

    def pool(self, run_id: str, executor: str | None) -> Pool | None:
        """An executor as the run's configuration describes it."""
        run = self._runs.get(run_id)
        return run.pools.get(executor) if run and executor else None

    def hosts(self, run_id: str, executor: str | None) -> Mapping[str, float]:
        """The known hosts of an executor in a run, with the Unix time when each was last seen."""
        run = self._runs.get(run_id)
        return run.hosts.get(executor, {}) if run and executor else {}

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

    def app(self, app: str | None) -> Tally | None:
        """How an app fares in all."""
        return self._apps.get(app) if app else None

    def app_on(self, app: str | None, host: str | None) -> Tally | None:
        """How an app fares on a node."""
        return self._app_hosts.get((app, host)) if app and host else None

    def executor(self, executor: str | None) -> Tally | None:
        """How tasks fare on an executor."""
        return self._executors.get(executor) if executor else None

    def dead_worker(self, host: str | None, pid: int | None) -> Worker | None:
        """A worker process that a heartbeat reported as ended."""
        return self._dead_workers.get((host, pid)) if host and pid else None

    def succeeded_elsewhere(self, app: str | None, host: str | None) -> bool:
        """Whether an app ever succeeded on another node than this one."""
        everywhere, here = self.app(app), self.app_on(app, host)
        return everywhere is not None and everywhere.successes > (here.successes if here else 0)

    def faulty_hosts(self, failure: Failure, categorization: Categorization) -> frozenset[str]:
        """Hosts where this app failed in this run in the same category, for want of the same thing."""
        run = self._runs.get(failure.run_id)
        found = run.faults.get(_fault(failure, categorization)) if run else None
        return frozenset(found or ())

    def is_denied(self, host: str, time: float) -> bool:
        """Whether a node gets no new tasks at that Unix time."""
        return self._denied.get(host, 0.0) > time

    def denied_hosts(self, time: float) -> dict[str, float]:
        """The nodes that get no new tasks at that Unix time, with the time until when."""
        return {host: until for host, until in self._denied.items() if until > time}

    # -- taking in ----------------------------------------------------------------------------------------------------

    def _observe_run(self, event: Run) -> None:
        if event.state == "ended":
            self._runs.pop(event.run_id)
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
        run = self._runs.get(event.run_id)
        self._hosts.ensure(event.host).observe_heartbeat(event, run.now if run else 0.0)
        for worker in event.workers:
            if not worker.alive:
                self._dead_workers.put((event.host, worker.pid), worker)
        if event.executor:
            self._see(event.run_id, event.executor, event.host, event.time)

    def _observe_task(self, event: Task) -> None:
        key = (event.run_id, event.task_id)
        if event.state not in FINAL_STATES:
            if event.host and event.executor:
                self._see(event.run_id, event.executor, event.host, event.time)
            if event.host:
                self._places.put(key, (event.app, event.executor, event.host))
            return
        self._tasks.pop(key)
        app, executor, host = self._places.pop(key) or (None, None, None)
        if event.state == "exec_done":
            self._count_success(event.app or app, event.executor or executor, event.host or host, event.time)

    def _observe_failure(self, event: Failure) -> None:
        key = (event.run_id, event.task_id)
        task = self._tasks.ensure(key)
        if event.try_id in task.failed_tries:
            return
        task.failed_tries.add(event.try_id)
        self._places.pop(key)
        categorization = event.categorization or self._categorize(event)
        category, host = categorization.category, event.host
        task.attempts[category] = task.attempts.get(category, 0) + 1
        _count_signature(task, signature(event), host or "")
        run = self._runs.ensure(event.run_id)
        run.failures += 1
        if host:
            task.hosts.setdefault(category, set()).add(host)
            at_fault = category in NODE_FAULTS
            self._hosts.ensure(host).observe_failure(key, event.time, node_at_fault=at_fault)
            if event.executor:
                self._see(event.run_id, event.executor, host, event.time)
            if at_fault:
                run.faults.ensure(_fault(event, categorization)).add(host)
            if event.node is not None:
                self._hosts.ensure(host).observe_node(event.node)
        for tally in self._tallies(event.app, event.executor, host):
            tally.fail(event.time)

    def _observe_decision(self, event: Decision) -> None:
        key = (event.run_id, event.task_id)
        if event.action == "terminate" and event.mode == "active":
            self._tasks.pop(key)
        else:
            task = self._tasks.ensure(key)
            if event.try_id not in task.decided_tries:
                task.decided_tries.add(event.try_id)
                task.charge += event.charge
        if event.mode == "active":
            for host, until in event.deny_hosts.items():
                self._deny(host, until, event.time)

    @staticmethod
    def _categorize(event: Failure) -> Categorization:
        from octopus_plugins.wrath.categorizer import categorize

        return categorize(event)

    def _see(self, run_id: str, executor: str, host: str, time: float) -> None:
        hosts = self._runs.ensure(run_id).hosts.setdefault(executor, {})
        if host in hosts or len(hosts) < MAX_HOSTS:
            hosts[host] = max(time, hosts.get(host, 0.0))

    def _tallies(self, app: str | None, executor: str | None, host: str | None) -> Iterable[Tally]:
        if app:
            yield self._apps.ensure(app)
        if executor:
            yield self._executors.ensure(executor)
        if app and host:
            yield self._app_hosts.ensure((app, host))

    def _count_success(self, app: str | None, executor: str | None, host: str | None, time: float) -> None:
        for tally in self._tallies(app, executor, host):
            tally.succeed(time)
        if host:
            self._hosts.ensure(host).observe_success(time)

    def _deny(self, host: str, until: float, time: float) -> None:
        # Called seldom: what has expired leaves here, so that lookups need no clean-up.
        self._denied = {name: end for name, end in self._denied.items() if end > time}
        if len(self._denied) < MAX_HOSTS:
            self._denied[host] = max(until, self._denied.get(host, 0.0))


def _told_by_submit_side(event: Event) -> bool:
    if isinstance(event, Heartbeat):
        return event.component == "manager"
    if isinstance(event, Task):
        return event.state not in WORKER_STATES
    return isinstance(event, (Failure, Decision, Block, Run))


def _fault(failure: Failure, categorization: Categorization) -> tuple[str, str, str]:
    return failure.app or "", categorization.category, str(categorization.evidence.get("subject", ""))


def _count_signature(task: TaskState, name: str, host: str) -> None:
    hosts = task.signatures.get(name)
    if hosts is None:
        if len(task.signatures) >= MAX_SIGNATURES:
            return
        hosts = task.signatures[name] = {}
    hosts[host] = hosts.get(host, 0) + 1
