"""An executor whose tasks are observed, and whose retries can wait and choose their node."""

from __future__ import annotations

import logging
import os
import pickle
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from parsl import curvezmq
from parsl.addresses import tcp_url
from parsl.executors import HighThroughputExecutor
from parsl.executors.high_throughput.executor import DEFAULT_INTERCHANGE_LAUNCH_CMD, DEFAULT_LAUNCH_CMD
from parsl.jobs.error_handlers import simple_error_handler
from parsl.monitoring.radios.multiprocessing import MultiprocessingQueueRadioSender
from parsl.serialize import pack_apply_message

from octopus_plugins.errors import ConfigError, CredentialsError
from octopus_plugins.frameworks.receiver import Receiver
from octopus_plugins.frameworks.timers import Delays
from octopus_plugins.htex import encrypted_reports, interchange_end
from octopus_plugins.htex.broadcasts import GRANT, PACE, task_like
from octopus_plugins.htex.interchange.selector import HostStanding, OctopusManagerSelector, publish
from octopus_plugins.htex.observation import WATCHED, Observation, Settings
from octopus_plugins.htex.placement_hints import APP, app_key
from octopus_plugins.htex.pool.launch import launch_command, passes_through
from octopus_plugins.htex.steering import FRONT_OF_THE_QUEUE, SteeredSpecification, Steering
from octopus_plugins.tracebacks import forget_traceback
from parsl_monitor.block_replacement import Revival
from parsl_monitor.radio import OctopusRadio
from parsl_monitor.run.attempts import Attempt
from parsl_monitor.run.try_future import ErrorsTo, TryFuture, copy, read

if TYPE_CHECKING:
    from octopus_plugins.wrath.history.node_standing import Standing
    from parsl_monitor.hub import OctopusMonitoringHub

logger = logging.getLogger("octopus_plugins")

ATTEMPTS_PER_NODE = 4
"""Tasks in vain per node, after which no worker of the executor is taken to have octopus-plugins."""

NAMED_SECONDS = 1.0
"""How long a task waits for its name, where it needs one."""

Repack = Callable[[], bytes]
"""Serializes a task once more."""

_WORKER = "parsl_monitor.worker"


class ObservedExecutor:
    """Mixin over HighThroughputExecutor and its children: everything that Octopus adds to one.

    With no OctopusMonitoringHub in the run it only steers retries. It overrides ``submit``,
    ``submit_payload``, ``start`` and ``shutdown``, all of which Parsl documents.
    """

    # What the host class provides.
    label: str
    run_id: str | None
    logdir: str
    monitoring_messages: Any
    remote_monitoring_radio: Any
    manager_selector: Any
    interchange_launch_cmd: Any
    launch_cmd: str | None
    provider: Any
    enable_mpi_mode: bool
    block_error_handler: Any
    encrypted: bool
    cert_dir: str | None
    loopback_address: str
    interchange_port_range: tuple[int, int]
    outgoing_q: Any
    hub_zmq_port: int | None
    zmq_monitoring: Any
    submit_monitoring_radio: Any

    revive = True
    """Whether lost blocks are replaced while tasks wait; a class attribute, for instances that `enable` adopts."""

    node_agent: bool | None = None
    """Whether worker pools have a node agent; None: where the provider and its launcher are Parsl's."""

    def start(self) -> None:
        """Start the executor, with a standing for its nodes and an interchange that heeds it."""
        self._octopus_hub: OctopusMonitoringHub | None = getattr(self.monitoring_messages, "hub", None)
        self._octopus_lock = threading.Lock()
        self._octopus_call = threading.local()
        self._octopus_delays = Delays(f"octopus-delays-{self.label}")
        self._octopus_missing = 0
        self._octopus_in_vain = 0
        self._octopus_seen = 0
        self._octopus_shut = threading.Event()
        self._octopus_file = Path(self.logdir).absolute() / "octopus-standing.json"
        self._octopus_standing = HostStanding()
        self._octopus_telling = threading.Lock()  # of its own: to write a file may take a while
        if isinstance(self.manager_selector, OctopusManagerSelector):
            self.manager_selector.path = os.fspath(self._octopus_file)
        else:
            self.manager_selector = OctopusManagerSelector(self._octopus_file, self.manager_selector)
        radio = self.remote_monitoring_radio
        if not isinstance(radio, OctopusRadio):
            radio = OctopusRadio()
        self._octopus_settings = tuple(
            Settings(self.run_id or "", self.label, radio.sample_period, radio.heartbeat_period)
        )
        self._octopus_reports = self._choose_interchange(radio.heartbeat_period)
        self._octopus_observable = self._octopus_reports and not _has_own_payloads(type(self))
        if self._octopus_reports and not self._octopus_observable:
            logger.info("Tasks of executor %r run unobserved: its class submits payloads in its own way", self.label)
        self._octopus_observe = self._octopus_observable
        self._octopus_direct = self._octopus_observe and radio.direct
        self._choose_pools()
        # Nodes are only denied where a hub learns what becomes of tasks, and for one app only by our interchange.
        self._octopus_steerable = self._octopus_observe and self._octopus_takes_notices()
        if self._octopus_hub is None:
            cast(Any, super()).start()
        else:
            if self.revive and self.block_error_handler is simple_error_handler:
                self.block_error_handler = Revival(self._octopus_hub)
            self._octopus_hub.register(self)
            self._start_observed(self._octopus_hub)
            if self._octopus_direct:
                self._octopus_hub.granting.add(self)

    def _choose_interchange(self, period: float) -> bool:
        """Have our interchange started, unless the user has one; returns whether what it reports reaches a hub."""
        hub = self._octopus_hub
        if self.interchange_launch_cmd == DEFAULT_INTERCHANGE_LAUNCH_CMD:
            # By path: the interchange must start wherever this process could import us.
            self.interchange_launch_cmd = [
                sys.executable,
                encrypted_reports.program(encrypted=self.encrypted),
                f"--label={self.label}",
                f"--period={period}",
                # Parsl's database has a row for each report of Parsl's own interchange.
                *(["--placements"] if hub is not None and hub.logging_endpoint is not None else []),
            ]
        heard = self._octopus_takes_notices() or not self.encrypted or encrypted_reports.parsl_encrypts_reports()
        if hub is not None and not heard:
            logger.warning(
                "Tasks of executor %r run unobserved: it is encrypted, and the interchange of this Parsl, which its"
                " interchange_launch_cmd starts, reports in clear text. Install Parsl 2026.8.10 or later, or leave"
                " interchange_launch_cmd out.",
                self.label,
            )
        return hub is not None and heard

    def _choose_pools(self) -> None:
        """Have worker pools started with a node agent, where their command allows it."""
        agent = passes_through(self.provider) if self.node_agent is None else self.node_agent
        if not agent or self.launch_cmd != DEFAULT_LAUNCH_CMD or self.enable_mpi_mode:
            logger.info(
                "Executor %r keeps its own way of starting worker pools: they have no node agent (docs/workers.md)",
                self.label,
            )
            return
        # Where nobody receives heartbeats, Parsl's interchange ends when one comes.
        told = self._octopus_settings if self._octopus_reports else (*self._octopus_settings[:2], 0.0, 0.0)
        self.launch_cmd = launch_command(DEFAULT_LAUNCH_CMD, told) or DEFAULT_LAUNCH_CMD

    def _start_observed(self, hub: OctopusMonitoringHub) -> None:
        """Start with our receiver of reports in the place of Parsl's router process."""
        if self._octopus_reports:
            if self.encrypted and self.cert_dir is None:
                self.cert_dir = curvezmq.create_certificates(self.logdir)
            context, address = curvezmq.ServerContext(self.cert_dir), tcp_url(self.loopback_address)
            receiver = Receiver(context, address, self.interchange_port_range, hub.receive)
            self.hub_zmq_port = receiver.port
            self.zmq_monitoring = receiver  # closed by HighThroughputExecutor.shutdown
        # Parsl starts its router where it finds a queue, and tells the interchange of a port where it finds one.
        messages, self.monitoring_messages = self.monitoring_messages, None
        try:
            cast(Any, super()).start()
        finally:
            self.monitoring_messages = messages
        if self._octopus_takes_notices():
            interchange_end.watch(self, self._octopus_shut)
        self.submit_monitoring_radio = MultiprocessingQueueRadioSender(messages)

    def submit(
        self, func: Callable[..., Any], resource_specification: Mapping[str, Any], *args: Any, **kwargs: Any
    ) -> Future[Any]:
        """Submit a task; see HighThroughputExecutor.submit."""
        steering: Steering | None = None
        if isinstance(resource_specification, SteeredSpecification):
            steering, resource_specification = resource_specification.steering, resource_specification.for_executor()
        # To pack a task again costs nothing until it is needed; to keep it packed costs memory while it waits.
        repack = partial(_pack, func, args, kwargs)
        self._octopus_call.value = steering, repack, kwargs.get("walltime"), _app_of(func)
        try:
            return cast("Future[Any]", cast(Any, super()).submit(func, resource_specification, *args, **kwargs))
        finally:
            self._octopus_call.value = None

    def submit_payload(self, context: dict[str, Any], buffer: bytes) -> Future[Any]:
        """Submit a serialized task; see HighThroughputExecutor.submit_payload."""
        gave_up = getattr(self, "executor_exception", None)
        if isinstance(gave_up, BaseException):
            # Parsl raises it for each task, and logs its traceback, which would be longer each time.
            forget_traceback(gave_up)
        call = getattr(self._octopus_call, "value", None) or (None, lambda: buffer, None, None)
        steering, repack, walltime, app = call
        hub = self._octopus_hub
        attempt = hub.attempts.open(self.label) if hub is not None else Attempt(self.label)
        outer = TryFuture(attempt, hub)
        attempt.outer, attempt.launched = outer, time.time()
        # A bash app waits for its program itself, and ends it in time; what is no number, Parsl will refuse.
        attempt.walltime = float(walltime) if isinstance(walltime, (int, float)) and walltime > 0 else None
        if app is not None and self._octopus_steerable:
            context = {**context, APP: app}
        if steering is not None:
            context = {**context, **steering.context(attempt.launched)}
        if steering is not None and steering.first and not self.enable_mpi_mode:
            # Retries join the back of the queue otherwise: a doomed task would take as long as the run to fail.
            context = {**context, "resource_spec": {"priority": FRONT_OF_THE_QUEUE, **context.get("resource_spec", {})}}
        if steering is not None and steering.delay > 0:
            self._octopus_delays.call(steering.delay, lambda: self._send_later(attempt, context, buffer, repack, outer))
        elif self._octopus_direct and hub is not None:
            self._send_named(attempt, context, buffer, repack, outer)
        else:
            self._send(attempt, context, buffer, repack)
            outer.parsl_executor_task_id = attempt.number  # type: ignore[attr-defined]
        return outer

    def node_came(self) -> None:
        """A node has registered of which nothing was known: its workers may have us, where none had so far."""
        with self._octopus_lock:
            self._octopus_in_vain = 0
            self._octopus_observe = self._octopus_observable

    def hand_grant(self, packed: bytes, *, secret: bool) -> None:
        """Have the nodes take a grant to produce; see `octopus_plugins.htex.pool.node_producer`.

        Args:
            packed: The pickled Grant.
            secret: Whether it holds a token.

        Raises:
            ConfigError: The interchange is not ours: it would take a grant for a task, and hand it to a worker.
            CredentialsError: A token would travel unencrypted.
        """
        if not self._octopus_takes_notices():
            raise ConfigError(
                f"executor {self.label!r} has an interchange_launch_cmd of its own, which takes no grants",
                remedy="leave it out",
            )
        if secret and not self.encrypted:
            raise CredentialsError(
                f"executor {self.label!r} is not encrypted, and tokens would travel in clear text",
                remedy="set encrypted=True",
            )
        self._notice(GRANT, packed)

    def hand_pace(self, stretch: float) -> bool:
        """Have the nodes sample so many times further apart than set, where they can be told.

        Args:
            stretch: See `octopus_plugins.fabric.produce.budget`.

        Returns:
            False where it is too early for it.
        """
        return not self._octopus_takes_notices() or self._notice(PACE, pickle.dumps(stretch))

    def _octopus_takes_notices(self) -> bool:
        return encrypted_reports.program(encrypted=self.encrypted) in self.interchange_launch_cmd

    def _notice(self, kind: str, packed: bytes) -> bool:
        with self._octopus_lock:  # the queue belongs to one thread at a time
            if self._octopus_shut.is_set() or getattr(self, "outgoing_q", None) is None:
                return False
            self.outgoing_q.put(task_like(kind, packed))
            return True

    def steer(self, standing: Standing) -> None:
        """Tell the interchange how the nodes stand: which get no tasks, which one at a time, which come first.

        Raises:
            OSError: The file that carries it cannot be written.
        """
        fresh = HostStanding.of(standing)
        with self._octopus_telling:
            # Of two that are told at once the later one stays.
            if fresh != self._octopus_standing:
                publish(self._octopus_file, fresh)
                self._octopus_standing = fresh

    def shutdown(self, *args: Any, **kwargs: Any) -> None:
        """Shut down the executor; tasks that still wait for their delay are not sent any more."""
        if hasattr(self, "_octopus_delays"):
            self._octopus_delays.close()
            with self._octopus_lock:
                self._octopus_shut.set()
        cast(Any, super()).shutdown(*args, **kwargs)

    def _send_later(
        self, attempt: Attempt, context: dict[str, Any], buffer: bytes, repack: Repack, outer: Future[Any]
    ) -> None:
        if outer.done():
            return  # it was ended while it waited
        with ErrorsTo(outer):
            self._send(attempt, context, buffer, repack)

    def _send_named(
        self, attempt: Attempt, context: dict[str, Any], buffer: bytes, repack: Repack, outer: TryFuture
    ) -> None:
        """Send a task as soon as Parsl has named it: its node tells of it by that name.

        Parsl does so right after this returns. Whoever submits without Parsl's DataFlowKernel names nothing.
        """
        held = [buffer]

        def send() -> None:
            try:
                packed = held.pop()
            except IndexError:
                return  # the other one came first
            if outer.done():
                return  # it was stopped when Parsl named it
            with ErrorsTo(outer):
                self._send(attempt, context, packed, repack)

        outer.when_known(send)
        self._octopus_delays.call(NAMED_SECONDS, send)

    def _send(self, attempt: Attempt, context: dict[str, Any], buffer: bytes, repack: Repack) -> None:
        observed = self._octopus_observe and "task_executor" not in context
        sent = context
        with self._octopus_lock:
            # The number that submit_payload is about to give; the lock makes that so.
            number: int = self._task_counter + 1  # type: ignore[attr-defined]
            if observed:
                arguments: tuple[Any, ...] = (number, self._octopus_settings, attempt.walltime)
                if self._octopus_direct and attempt.record is not None:
                    arguments += ((str(attempt.record["id"]), attempt.record["try_id"]),)
                sent = {**context, "task_executor": {"f": f"{_WORKER}.execute", "a": arguments, "k": {}}}
                sent[WATCHED] = number, attempt.walltime
            if self._octopus_hub is not None:
                self._octopus_hub.attempts.sent(attempt, number)
            else:
                attempt.number = number
            try:
                inner = cast(Any, super()).submit_payload(sent, buffer)
            except Exception:
                if self._octopus_hub is not None:
                    self._octopus_hub.attempts.unsent(attempt)
                raise
        if observed and self._octopus_hub is not None and self._octopus_hub.speculates:
            attempt.again = partial(self._send_copy, attempt, context, repack)
        # No function with its cells: those of the tasks that wait would be what the garbage collector is busy with.
        inner.add_done_callback(partial(self._settle, attempt, context, repack) if observed else partial(copy, attempt))

    def _settle(self, attempt: Attempt, context: dict[str, Any], repack: Repack, inner: Future[Any]) -> None:
        """Pass an observed task's outcome on to the future that Parsl holds. Runs in Parsl's result thread."""
        outer = attempt.outer
        if outer is None or outer.done():
            return  # it counted as lost, and is tried elsewhere, or another copy ended: this comes too late
        with ErrorsTo(outer):
            error = inner.exception()
            if attempt.copies > 1 and _has_failed(inner):
                attempt.copies -= 1
                return  # the other copy may still end well
            if error is None:
                self._octopus_seen += 1
                result, error = read(inner.result(), attempt)
                if error is None:
                    outer.set_result(result)
                else:
                    outer.set_exception(error)
            elif _worker_lacks_us(error):
                self._send_unobserved(attempt, context, repack)
            else:
                copy(attempt, inner)

    def _send_copy(self, attempt: Attempt, context: dict[str, Any], repack: Repack, host: str) -> None:
        """Run a try a second time, elsewhere, while the first copy may still run; the first result wins."""
        steering = Steering(avoid_hosts=(host,)).context(time.time())
        front = {"priority": FRONT_OF_THE_QUEUE, **context.get("resource_spec", {})}
        sent = {**context, **steering, "resource_spec": front}
        buffer = repack()
        with self._octopus_lock:
            attempt.copies += 1
            # Reports of the copy name a number of which nobody knows: they say nothing of the first one.
            number: int = self._task_counter + 1  # type: ignore[attr-defined]
            arguments = (number, self._octopus_settings, attempt.walltime)
            sent["task_executor"] = {"f": f"{_WORKER}.execute", "a": arguments, "k": {}}
            sent[WATCHED] = number, attempt.walltime
            inner = cast(Any, super()).submit_payload(sent, buffer)
        logger.warning(
            "Task %s seems to be lost on %s, which is silent: a second copy of it is started elsewhere (speculate)",
            attempt.task_id,
            host,
        )
        inner.add_done_callback(partial(self._settle, attempt, context, repack))

    def _send_unobserved(self, attempt: Attempt, context: dict[str, Any], repack: Repack) -> None:
        self._octopus_missing += 1
        if self._octopus_missing == 1 and self._octopus_hub is not None:
            self._octopus_hub.warn_unobserved(self.label)
        with self._octopus_lock:
            self._octopus_in_vain += 1
            # All of them may have come from the first node that there was: the next may be another matter.
            nodes = self._octopus_hub.count_nodes(self.label) if self._octopus_hub is not None else 1
            if self._octopus_seen == 0 and self._octopus_in_vain >= ATTEMPTS_PER_NODE * max(nodes, 1):
                self._octopus_observe = False
        buffer = repack()
        with self._octopus_lock:
            inner = cast(Any, super()).submit_payload(context, buffer)
        inner.add_done_callback(partial(copy, attempt))


class OctopusHighThroughputExecutor(ObservedExecutor, HighThroughputExecutor):
    """Parsl's HighThroughputExecutor, observed and steerable. Takes every option of it.

    Args:
        sample_period: Seconds between resource samples of a running task; 0 takes none.
        node_heartbeat_period: Seconds between heartbeats of a node; 0 sends none.
        revive: Whether blocks that worked and died are replaced while tasks wait, where a WrathRetryHandler is in
            force and ``block_error_handler`` is left at its default.
        node_agent: Whether worker pools have a node agent. None decides by the provider and its launcher: yes
            where they are Parsl's. True for one of your own that runs its command by a shell, as it is.
        direct: Whether nodes produce resource samples by themselves, with short-lived tokens that the submit side
            renews; needs ``encrypted=True`` where the brokers take tokens (docs/workers.md).
        **options: As HighThroughputExecutor takes them.
    """

    def __init__(
        self,
        *args: Any,
        sample_period: float = 1.0,
        node_heartbeat_period: float = 10.0,
        revive: bool = True,
        node_agent: bool | None = None,
        direct: bool = False,
        **options: Any,
    ):
        options.setdefault(
            "remote_monitoring_radio",
            OctopusRadio(sample_period=sample_period, heartbeat_period=node_heartbeat_period, direct=direct),
        )
        super().__init__(*args, **options)
        # Parsl prints its configuration from attributes named like the arguments.
        self.sample_period = sample_period
        self.node_heartbeat_period = node_heartbeat_period
        self.revive = revive
        self.node_agent = node_agent
        self.direct = direct


def _pack(func: Callable[..., Any], args: Any, kwargs: Mapping[str, Any]) -> bytes:
    """What `HighThroughputExecutor.submit` makes of a call."""
    return cast(bytes, pack_apply_message(func, args, kwargs, buffer_threshold=1 << 20))


def _has_failed(inner: Future[Any]) -> bool:
    """Whether an observed try failed: by itself, or with its worker."""
    return inner.exception() is not None or Observation.unpacked(inner.result()).post_mortem is not None


def _app_of(func: Callable[..., Any]) -> str | None:
    """The name by which Parsl knows a function's app; None where this is not to be had.

    Parsl's wrappers keep the name of what they wrap, but for those that stage data: these call all apps ``wrapper``.
    """
    name = getattr(func, "__name__", None)
    if not isinstance(name, str) or str(getattr(func, "__module__", "")).startswith("parsl.data_provider."):
        return None
    return app_key(name)


def _worker_lacks_us(error: BaseException) -> bool:
    """Whether the worker failed to import our function, and so never touched the task."""
    return (
        isinstance(error, ModuleNotFoundError)
        and error.name is not None
        and error.name.split(".")[0] in ("parsl_monitor",)
    )


def _has_own_payloads(cls: type) -> bool:
    """Whether a class of the user's stands between us and Parsl and submits payloads in its own way.

    It would see results as our workers pack them, and its own ``task_executor`` would take the place of ours.
    """
    mro = cls.__mro__
    if HighThroughputExecutor not in mro:
        return False
    between = mro[mro.index(ObservedExecutor) + 1 : mro.index(HighThroughputExecutor)]
    return any("submit_payload" in vars(each) for each in between)
