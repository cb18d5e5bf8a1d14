"""A GlobusComputeEngine that reports what happens, says why tasks fail, and retries by policy."""

from __future__ import annotations

import itertools
import logging
import queue
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from globus_compute_endpoint.engines.base import GCExecutorFuture, GCFuture
from globus_compute_endpoint.engines.globus_compute import GlobusComputeEngine
from globus_compute_endpoint.engines.helper import execute_task
from msgspec.structs import replace
from parsl import curvezmq
from parsl.addresses import tcp_url
from parsl.monitoring.message_type import MessageType

from globus_compute_hooks.endpoint import worker
from globus_compute_hooks.endpoint.attempts import Attempt
from globus_compute_hooks.endpoint.htex import SteeredExecutor
from globus_compute_hooks.endpoint.lost_tasks import Losses, interchange_of
from globus_compute_hooks.endpoint.open_tasks import Ledger
from globus_compute_hooks.endpoint.options import EngineOptions
from globus_compute_hooks.endpoint.session import Session
from globus_compute_hooks.endpoint.task import Trial
from globus_compute_hooks.versions import check_endpoint
from octopus_plugins.errors import OctopusError
from octopus_plugins.fabric import Emitter
from octopus_plugins.frameworks.receiver import Receiver
from octopus_plugins.frameworks.sample_pacing import Pacer
from octopus_plugins.frameworks.timers import Delays
from octopus_plugins.htex import interchange_end, reports
from octopus_plugins.htex.observation import Settings
from octopus_plugins.plugins import load_plugins

logger = logging.getLogger("octopus_plugins")


class OctopusEngine(GlobusComputeEngine):
    """A GlobusComputeEngine with Octopus. Takes every option of it, and a block ``octopus:``.

    Whatever is wrong with that block, with the plugins or with the broker, the endpoint serves tasks as a
    GlobusComputeEngine does, and its log says once what is wrong. ``max_retries_on_system_failure`` bounds the retries
    that the policy may decide.

    Args:
        octopus: The block; see `EngineOptions.of`.
        *args: As GlobusComputeEngine takes them.
        **kwargs: As GlobusComputeEngine takes them.
    """

    def __init__(self, *args: Any, octopus: Any = None, **kwargs: Any) -> None:
        _log_with_host()
        self.octopus: EngineOptions | None = None
        self._octopus_session: Session | None = None
        self._octopus_complained: set[str] = set()
        with self._octopus_border("the endpoint runs without Octopus"):
            self.octopus = EngineOptions.of(octopus)
        super().__init__(*args, **kwargs)

    def start(
        self, *args: Any, endpoint_id: uuid.UUID | None = None, run_dir: str | None = None, **kwargs: Any
    ) -> None:
        """Start the engine; see GlobusComputeEngine.start."""
        if self.octopus is not None and endpoint_id is not None and run_dir is not None:
            with self._octopus_border("the endpoint runs without Octopus"):
                self._octopus_open(self.octopus, str(endpoint_id), str(run_dir), kwargs.get("monitored") is True)
        if self._octopus_session is not None:
            # The reports that the host asks for here come to us, and we hand them on.
            kwargs.pop("monitored", None)
        super().start(*args, endpoint_id=endpoint_id, run_dir=run_dir, **kwargs)
        if self._octopus_session is not None:
            self.executor.monitoring_messages = self._octopus_reports
            threading.Thread(target=self.monitor_watcher, name="octopus-placements", daemon=True).start()
            threading.Thread(target=self._octopus_beat, name="octopus-heartbeats", daemon=True).start()
            if self._octopus_steered.steerable:  # else it is the user's, who may look after it
                interchange_end.watch(self.executor, self._octopus_ending)
            self._octopus_answer_lost(self._octopus_session)

    def shutdown(self, /, **kwargs: Any) -> None:
        """Stop the engine; see GlobusComputeEngine.shutdown. Delivers what is left, within the configured time."""
        session = self._octopus_session
        if session is not None:
            self._octopus_ending.set()
            self._octopus_delays.close()
        try:
            super().shutdown(**kwargs)
        finally:
            if session is not None:
                with self._octopus_border("the end of the session is not told"):
                    session.end()
                    if failed := session.summary():
                        logger.info("session %s: failed tries by category: %s", session.run_id, failed)
                    if cost := self._octopus_idle.summary():
                        logger.warning("session %s: %s", session.run_id, cost)
                    self._octopus_ledger.close()
                    self._octopus_emitter.close()
                self._octopus_session = None

    def submit(
        self,
        task_f: GCFuture,
        packed_task: bytes,
        resource_specification: dict[str, Any],
        result_serializers: list[str] | None = None,
    ) -> None:
        """Submit a task; see GlobusComputeEngineBase.submit."""
        session = self._octopus_session
        if session is not None:
            with self._octopus_border("a task is not told"):
                function = None if task_f.function_id is None else str(task_f.function_id)
                resources = dict(resource_specification or {})
                session.received(Attempt(str(task_f.gc_task_id), function, resources, time.time()))
        super().submit(task_f, packed_task, resource_specification, result_serializers)

    def _invoke_submission(
        self,
        task_fut: GCFuture,
        submission_partial: Callable[..., GCExecutorFuture],
        retry_count: int = 0,
        exception_history: list[BaseException] | None = None,
    ) -> None:
        session = self._octopus_session
        attempt = session.attempts.of_task(str(task_fut.gc_task_id)) if session is not None else None
        if session is None or attempt is None:
            super()._invoke_submission(task_fut, submission_partial, retry_count, exception_history)
        else:
            Trial(self, session, attempt, task_fut, submission_partial, retry_count).run()

    def _submit(
        self,
        resource_specification: dict[str, Any],
        func: Callable[..., Any],
        packed_task: bytes,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> GCExecutorFuture:
        session = self._octopus_session
        attempt = session.attempts.of_task(str(args[0])) if session is not None and args else None
        if session is None or attempt is None:
            return super()._submit(resource_specification, func, packed_task, args, kwargs)
        number = None
        if attempt.observed and self._octopus_observe and func is execute_task:
            number = next(self._octopus_numbers)
            session.attempts.marked(attempt, number)
            told = attempt.try_id, number, tuple(self._octopus_settings)
            func, kwargs = worker.execute, {**(kwargs or {}), "octopus": told}
        with self._octopus_steered.submitting(number, attempt.steering, time.time()):
            return super()._submit(resource_specification, func, packed_task, args, kwargs)

    # -- what trials ask of their engine ------------------------------------------------------------------------------

    def octopus_later(self, delay: float, call: Callable[[], None]) -> None:
        """Make a call after some seconds, in a thread of ours."""
        self._octopus_delays.call(delay, call)

    def octopus_steer(self) -> None:
        """Have the nodes stand as what happened says, soon."""
        self._octopus_delays.call(0.0, self._octopus_tell_standing)

    def octopus_unobserved(self, *, ever_seen: bool) -> None:
        """A worker lacks our package: its tasks run unobserved.

        Args:
            ever_seen: Whether any worker of the endpoint has it.
        """
        self._octopus_observe = ever_seen
        self._octopus_complain(
            "Tasks run unobserved: octopus-plugins is not installed in the workers' environment. Install it there "
            "(pip install 'octopus-plugins[compute]', for example in the provider's worker_init)"
        )

    def octopus_broken(self) -> None:
        """Something of ours raised, and the host's own way was taken."""
        self._octopus_complain("A task's outcome could not be told; the endpoint goes on", error=True)

    # -- inside -------------------------------------------------------------------------------------------------------

    def _octopus_open(self, options: EngineOptions, endpoint: str, run_dir: str, placements: bool = False) -> None:
        check_endpoint()
        plugins = load_plugins()
        emitter = Emitter(options.config, transform=plugins.transform if plugins.has_transforms else None)
        session: Session | None = None
        try:
            ledger = Ledger(run_dir)
            retries = self.max_retries_on_system_failure
            session = Session(
                emitter, plugins, options.policy, endpoint, retries, ledger=ledger, own_policy=options.own_policy
            )
            settings = Settings(session.run_id, endpoint, options.sample_period, options.heartbeat_period)
            self._octopus_settings, self._octopus_numbers = settings, itertools.count(1)
            steerable = self.executor.interchange_launch_cmd == self._get_compute_ix_launch_cmd()
            pool = replace(
                reports.pool_of(self.executor, steerable=steerable), label=endpoint, kind=type(self).__name__
            )
            session.begin(replace(pool, observed=True), run_dir, worker.versions(), time.time())
            # From here on the executor knows us: nothing below may leave it half done.
            self._octopus_listen(run_dir)
            standing_file = Path(self.executor.logdir).absolute() / "octopus-standing.json"
            self._octopus_steered = SteeredExecutor(self, settings, standing_file, placements=placements)
        except BaseException:
            if session is not None:
                session.end()
            emitter.close(0.0)
            raise
        self._octopus_observe = True
        self._octopus_pacer = Pacer(emitter.budget)
        self._octopus_ending = threading.Event()
        self._octopus_delays = Delays("octopus-retries")
        self._octopus_emitter, self._octopus_ledger, self._octopus_session = emitter, ledger, session
        logger.info(
            "Octopus: session %s of endpoint %s reports to %s", session.run_id, endpoint, options.config.address
        )

    def _octopus_answer_lost(self, session: Session) -> None:
        """Answer in time for what an earlier session took and nobody will answer."""
        with self._octopus_border("tasks that an earlier session took are not told lost"):
            interchange = interchange_of(self)
            if interchange is not None:
                Losses(self._octopus_ledger, session, interchange, self._octopus_ending).start()

    def _octopus_listen(self, run_dir: str) -> None:
        """Have the interchange and the poller of blocks report to us, in the place of Parsl's router process."""
        executor = self.executor
        executor.run_dir = run_dir
        if executor.encrypted and executor.cert_dir is None:
            executor.cert_dir = curvezmq.create_certificates(executor.logdir)
        self._octopus_idle = reports.IdleNodes()
        self._octopus_reports: queue.SimpleQueue[Any] = queue.SimpleQueue()
        receiver = Receiver(
            curvezmq.ServerContext(executor.cert_dir),
            tcp_url(executor.loopback_address),
            executor.interchange_port_range,
            self._octopus_hear,
        )
        executor.hub_zmq_port = receiver.port
        executor.zmq_monitoring = receiver  # closed by HighThroughputExecutor.shutdown
        executor.submit_monitoring_radio = _Radio(self._octopus_hear)

    def _octopus_hear(self, message: tuple[Any, Any]) -> None:
        tag, content = message
        session = self._octopus_session
        if session is not None:
            with self._octopus_border("a report is not told"):
                session.hear(tag, content)
                if not self._octopus_ending.is_set():
                    self._octopus_pacer.pace({session.endpoint: self._octopus_steered.pace})
        if tag is MessageType.NODE_INFO:
            self._octopus_idle.hear(content)
            self._octopus_reports.put(message)

    def _octopus_beat(self) -> None:
        session, options = self._octopus_session, self.octopus
        if session is None or options is None or options.heartbeat_period == 0:
            return
        while True:
            with self._octopus_border("heartbeats of the endpoint are not told"):
                session.beat(options.heartbeat_period, self._octopus_report())
                self._octopus_tell_standing()
            if self._octopus_ending.wait(options.heartbeat_period):
                return

    def _octopus_tell_standing(self) -> None:
        session = self._octopus_session
        if session is not None:
            with self._octopus_border("how the nodes stand is not told to the interchange"):
                self._octopus_steered.steer(session.standing(time.time()))

    def _octopus_report(self) -> dict[str, Any]:
        """What the host's status report says; nothing where it cannot be had, as while the engine is in a bad state."""
        try:
            return dict(super().get_status_report().global_state)
        except Exception:  # noqa: BLE001 - the endpoint is alive all the same
            return {}

    @contextmanager
    def _octopus_border(self, consequence: str) -> Iterator[None]:
        """The border to the host, which must not be hurt: what is raised inside is told once."""
        try:
            yield
        except OctopusError as error:
            self._octopus_complain(f"Octopus: {error}; {consequence}")
        except Exception:  # noqa: BLE001 - logged there
            self._octopus_complain(f"Octopus: {consequence}", error=True)

    def _octopus_complain(self, message: str, *, error: bool = False) -> None:
        if message not in self._octopus_complained:
            self._octopus_complained.add(message)
            logger.error("%s (said once)", message, exc_info=error)


class _Radio:
    """In the place of Parsl's sender of messages about blocks.

    Args:
        hear: Takes the messages.
    """

    def __init__(self, hear: Callable[[tuple[Any, Any]], None]) -> None:
        self._hear = hear

    def send(self, message: tuple[Any, Any]) -> None:
        """Hand a message on."""
        self._hear(message)


def _log_with_host() -> None:
    """Have what we say in the endpoint's log: the host sends there what its own loggers say, and no other's."""
    for handler in logging.getLogger("globus_compute_endpoint").handlers:
        if handler not in logger.handlers:
            logger.addHandler(handler)
            if logger.level == logging.NOTSET:
                logger.setLevel(logging.INFO)
