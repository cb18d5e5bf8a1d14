"""Parsl's monitoring hub, with Octopus topics in the place of its database."""

from __future__ import annotations

import logging
import os
import queue
import threading
from collections.abc import Callable, Mapping
from typing import Any

from parsl.monitoring import MonitoringHub
from parsl.monitoring.message_type import MessageType

from octopus_plugins.config import OctopusConfig
from octopus_plugins.errors import MissingDependencyError
from octopus_plugins.fabric import Emitter
from octopus_plugins.frameworks.sample_pacing import Pacer
from octopus_plugins.htex.fast_log import quicken
from octopus_plugins.htex.reports import IdleNodes, canonical
from octopus_plugins.plugins import Plugins, load_plugins
from parsl_monitor import task_values
from parsl_monitor.adoption import ADDITIONS, Adoption
from parsl_monitor.hub_queue import HubQueue, Message, NodeRows
from parsl_monitor.run.attempts import Attempts
from parsl_monitor.run.control import Governing
from parsl_monitor.run.recorder import Story
from parsl_monitor.token_delegation import Granting
from parsl_monitor.versions import check_parsl

logger = logging.getLogger("octopus_plugins")

POLL_PERIOD = 0.2
"""Seconds between looks for the end of the run, in the thread that reads messages of other processes."""


class OctopusMonitoringHub(Governing, MonitoringHub):
    """Streams a Parsl run to Octopus: task states, worker starts and ends, resources, heartbeats, failures.

    Give it to Parsl as ``Config(monitoring=OctopusMonitoringHub())``. It takes every option of Parsl's
    MonitoringHub. With ``logging_endpoint`` Parsl's own database is kept as well, and
    ``resource_monitoring_enabled`` then has Parsl's meaning: each task runs in Parsl's own wrapper, at its
    cost. Without, that wrapper is never used: resources are sampled by one thread per worker.

    Args:
        workflow_name: Name of the workflow; default: the script's name.
        workflow_version: Version of the workflow; default: the time of its start.
        logging_endpoint: SQLAlchemy URL of Parsl's own monitoring database; None keeps none.
        monitoring_debug: As in Parsl.
        resource_monitoring_enabled: As in Parsl; has an effect only with ``logging_endpoint``.
        resource_monitoring_interval: As in Parsl, seconds.
        octopus: How to reach the topics: an OctopusConfig, or settings by name (``{"profile": "kafka"}``).
            Default: environment and configuration file.
        plugins: Default: those installed.
        listen: Whether to hear what people (``octopus decide``) and decider services decide while the run goes on.

    Raises:
        ConfigError: A setting of ``octopus`` is unknown or wrong.
        UnsupportedHostError: This version of Parsl lacks something that we build on.
    """

    resource_msgs: Any

    adoption: Adoption | None
    """How executors that are added later become observed; None where `enable` was not used."""

    def __init__(
        self,
        workflow_name: str | None = None,
        workflow_version: str | None = None,
        logging_endpoint: str | None = None,
        monitoring_debug: bool = False,
        resource_monitoring_enabled: bool = True,
        resource_monitoring_interval: float = 30,
        octopus: OctopusConfig | Mapping[str, Any] | None = None,
        plugins: Plugins | None = None,
        listen: bool = True,
        **deprecated: Any,
    ) -> None:
        check_parsl()
        self._octopus_wanted = resource_monitoring_enabled
        try:
            super().__init__(
                workflow_name=workflow_name,
                workflow_version=workflow_version,
                logging_endpoint=logging_endpoint,
                monitoring_debug=monitoring_debug,
                resource_monitoring_enabled=resource_monitoring_enabled,
                resource_monitoring_interval=resource_monitoring_interval,
                **deprecated,
            )
        except ImportError as error:
            raise MissingDependencyError(
                "Parsl's monitoring needs SQLAlchemy: pip install 'octopus-plugins[parsl]'"
            ) from error
        self.octopus = octopus if isinstance(octopus, OctopusConfig) else OctopusConfig.load(**dict(octopus or {}))
        self.listen = listen
        self.attempts = Attempts()
        self.monitoring_hub_active = False
        self._plugins = plugins if plugins is not None else load_plugins()
        self.adoption = None
        self.begin_governing()
        self._idle_nodes = IdleNodes()
        self._registered_hosts: dict[str, dict[str, bool]] = {}
        self._story: Story | None = None
        self._database_queue: Any = None
        self._node_rows = NodeRows()
        self._reader: threading.Thread | None = None
        self._ending = threading.Event()
        self._pacer = Pacer(None)
        self._restore_log: Callable[[], None] = lambda: None

    @property
    def resource_monitoring_enabled(self) -> bool:
        """Whether Parsl is to wrap each task in its own resource monitor; see the class."""
        return self._octopus_wanted and self.logging_endpoint is not None

    @resource_monitoring_enabled.setter
    def resource_monitoring_enabled(self, value: bool) -> None:
        self._octopus_wanted = value

    @property
    def story(self) -> Story:
        """What happens in the run; the run must have started."""
        if self._story is None:
            raise RuntimeError("the OctopusMonitoringHub is not started; give it to Config(monitoring=…) and load that")
        return self._story

    @property
    def plugins(self) -> Plugins:
        """The plugins in force."""
        return self._plugins

    def start(self, dfk_run_dir: str, config_run_dir: str | os.PathLike[str], log_config: Any) -> None:
        """Begin to stream; called by Parsl."""
        if self.logging_endpoint is not None:
            super().start(dfk_run_dir, config_run_dir, log_config)
            self._database_queue, self._node_rows = self.resource_msgs, NodeRows()
        else:
            os.makedirs(dfk_run_dir, exist_ok=True)  # noqa: PTH103 - as Parsl's own hub promises its callers
            task_values.leave_alone(self)
        transform = self._plugins.transform if self._plugins.has_transforms else None
        self._emitter = Emitter(self.octopus, transform=transform)
        self.attempts = Attempts()
        self._idle_nodes = IdleNodes()
        self._story = Story(self._emitter, self._plugins, self.attempts)
        self.granting = Granting(self.octopus, transforms=transform is not None, budget=self._emitter.budget)
        self._ending.clear()
        self._pacer = Pacer(self._emitter.budget)
        self.begin_governing()
        self.resource_msgs = HubQueue(self._deliver, self)
        self._reader = threading.Thread(target=self._read, name="octopus-hub", daemon=True)
        self._reader.start()
        self._restore_log()
        self._restore_log = quicken(dfk_run_dir)
        if self.adoption is not None:
            ADDITIONS.begin()
        self.monitoring_hub_active = True

    def close(self) -> None:
        """Deliver what is left, within the configured time, and stop; called by Parsl at the end of the run."""
        if not self.monitoring_hub_active:
            return
        self._restore_log()
        if self.adoption is not None:
            ADDITIONS.end()
        self._ending.set()
        self._emitter.hurry()  # a broker that came back a moment ago is found while the other parts end
        self.end_governing()
        self.granting.close()
        if self.granting.delivered:
            logger.info("%s resource samples were produced by the nodes themselves", f"{self.granting.delivered:,}")
        if self._reader is not None:
            self.resource_msgs.put_last()
            self._reader.join(timeout=5.0)
        if failed := self.story.summary():
            logger.info("run %s: failed tries by category: %s", self.story.run_id, failed)
        if cost := self._idle_nodes.summary():
            logger.warning("Run %s: %s", self.story.run_id, cost)
        messages, self.resource_msgs = self.resource_msgs, self._database_queue
        messages.close()
        messages.join_thread()
        try:
            self._emitter.close(self.octopus.close_timeout)
        finally:
            if self._database_queue is not None:
                super().close()
            self.monitoring_hub_active = False

    def warn_unobserved(self, executor: str) -> None:
        """A worker of this executor lacks our package: its tasks run unobserved."""
        hosts = sorted(self._suspects(executor))
        logger.warning(
            "Tasks run unobserved on %s of executor %r: octopus-plugins is not installed in the workers' environment. "
            "Install it there (pip install 'octopus-plugins[parsl]', for example in the provider's worker_init).",
            f"host {', '.join(hosts)}" if hosts else "a host",
            executor,
        )

    def count_nodes(self, executor: str) -> int:
        """How many nodes of an executor have registered so far."""
        return len(self._registered_hosts.get(executor, ()))

    def receive(self, message: Message) -> None:
        """Take a message that came from another process."""
        try:
            self._note(message)
        except Exception:
            logger.warning("A report of another process cannot be read", exc_info=True)
        self._deliver(message)
        self._pace()

    def _deliver(self, message: Message) -> None:
        """Take a message put in this process: the border to the DataFlowKernel's threads, which must not be hurt."""
        try:
            self.story.hear(message)
            if message[0] is MessageType.TASK_INFO:
                self.heed_stops(str(message[1]["task_id"]), message[1]["task_status_name"])
            if message[0] is MessageType.WORKFLOW_INFO and not self._ending.is_set():
                self.begin_listening(self.octopus)
        except Exception:  # noqa: BLE001 - logged there
            self._complain("A monitoring message could not be told; the run goes on (said once)")
        if self._database_queue is not None and message[0] != "octopus":
            if message[0] is MessageType.NODE_INFO and not self._node_rows.is_one(message[1]):
                return
            self._database_queue.put(message)

    def _read(self) -> None:
        while True:
            try:
                message = self.resource_msgs.get(timeout=POLL_PERIOD)
            except queue.Empty:
                if self._ending.is_set():
                    return
            except (OSError, EOFError, ValueError):
                return
            except Exception:
                # A message from another process that cannot be unpickled here.
                logger.warning("A monitoring message of another process cannot be read", exc_info=True)
            else:
                if message is None:
                    return
                self.receive(message)

    def _pace(self) -> None:
        """Have the nodes sample as far apart as the budget asks."""
        try:
            self._pacer.pace({executor.label: executor.hand_pace for executor in self.executors})
        except Exception:  # noqa: BLE001 - logged there
            self._complain("The nodes could not be told how often to sample; the run goes on (said once)")

    def _note(self, message: Message) -> None:
        content = message[1]
        if isinstance(content, dict) and "direct" in content:
            self.granting.hear(content["place"], content["direct"])
        if isinstance(content, dict) and isinstance(content.get("packages"), dict) and "executor_label" in content:
            self._idle_nodes.hear(content)
            names = set(map(canonical, content["packages"]))
            label, host = content["executor_label"], content["hostname"]
            hosts = self._registered_hosts.setdefault(label, {})
            known = host in hosts
            hosts[host] = "octopus-plugins" in names
            for executor in () if known else self.executors:
                if executor.label == label:
                    executor.node_came()

    def _suspects(self, executor: str) -> set[str]:
        """The hosts that may lack our package: Parsl names no host with the error that tells of it."""
        silent = self._registered_hosts.get(executor, {}).copy()
        for host in self.story.reporting_hosts(executor):
            silent.pop(host, None)
        # A manager lists what is installed, which is not always what its workers import.
        return {host for host, installed in silent.items() if not installed} or set(silent)
