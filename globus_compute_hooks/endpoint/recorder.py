"""What happens at an endpoint, as it and its workers tell it: the endpoint itself, its nodes, and its running tries."""

from __future__ import annotations

import os
import platform
import time
import uuid
from collections.abc import Mapping
from typing import Any

from parsl.monitoring.message_type import MessageType

from globus_compute_hooks import translate
from globus_compute_hooks.endpoint.attempts import Attempt, Attempts
from globus_compute_hooks.endpoint.open_tasks import Entry, Ledger
from globus_compute_hooks.translate import FRAMEWORK
from octopus_plugins.events import Pool, Run, Task
from octopus_plugins.exception_description import own_attributes
from octopus_plugins.fabric import Emitter
from octopus_plugins.frameworks.recorder import Chronicle
from octopus_plugins.htex import reports
from octopus_plugins.htex.observation import TAG
from octopus_plugins.plugins import Plugins
from octopus_plugins.wrath import Policy
from octopus_plugins.wrath.policy.data import policy_to_data

MAX_REMEMBERED = 200_000


class Story(Chronicle):
    """The story of an endpoint from its start to its end. Thread-safe.

    Args:
        emitter: Where the events go.
        plugins: May add rules and learn of failures.
        policy: What to do about which failure.
        endpoint: Id of the endpoint.
        retries: How often a task may be tried again for failures of the system.
        ledger: Where the tasks are put down that are not answered yet.
    """

    def __init__(
        self,
        emitter: Emitter,
        plugins: Plugins,
        policy: Policy,
        endpoint: str,
        retries: int,
        ledger: Ledger | None = None,
    ) -> None:
        super().__init__(emitter, plugins)
        self.policy: Policy = policy
        self.run_id = str(uuid.uuid4())
        self.endpoint = endpoint
        self.retries = retries
        self.attempts = Attempts()
        self._ledger = ledger
        self._names: dict[str, str] = {}
        self._workers: dict[tuple[str, int], dict[str, Any]] = {}
        self._done = self._failed = 0

    def begin(self, pool: Pool, run_dir: str | None, versions: dict[str, str], now: float) -> None:
        """The endpoint starts."""
        about: dict[str, Any] = {"run_id": self.run_id, "framework": FRAMEWORK, "time": now}
        name = os.environ.get("GLOBUS_COMPUTE_ENDPOINT_NAME")
        self.tell(
            Run(
                **about,
                state="started",
                name=name,
                host=platform.node(),
                run_dir=run_dir,
                versions=versions,
                labels={"endpoint_id": self.endpoint},
            ),
            Run(
                **about,
                state="configured",
                retries=self.retries,
                pools=(pool,),
                policy=policy_to_data(self.policy),
                labels={"decider": "workflow"},
            ),
        )

    def beat(self, period: float, report: Mapping[str, Any]) -> None:
        """The endpoint is alive."""
        host, pid = platform.node(), os.getpid()
        now = time.time()
        self.tell(translate.endpoint_heartbeat(self.run_id, self.endpoint, host, pid, period, now, report))

    def end(self) -> None:
        """The endpoint stops."""
        self.tell(translate.run_ended(self.run_id, platform.node(), self._done, self._failed, time.time()))

    def hear(self, tag: Any, content: Any) -> None:
        """Take in a message of the interchange, of a poller of blocks, or of one of our workers."""
        now = time.time()
        if tag is MessageType.NODE_INFO:
            self._hear_manager(content, now)
        elif tag is MessageType.BLOCK_INFO:
            told = ({**entry, "run_id": self.run_id, "executor_label": self.endpoint} for entry in content)
            self.tell(*(reports.block_event(entry, now, FRAMEWORK) for entry in told))
        elif tag == TAG:
            self._hear_worker(content)

    def _about(self, attempt: Attempt) -> dict[str, Any]:
        app = self._names.get(attempt.function_id or "", attempt.function_id)
        return translate.subject(self.run_id, self.endpoint, attempt, app)

    def _begun(self, attempt: Attempt) -> list[Task]:
        """That a try runs, where that was not told yet."""
        if attempt.announced or attempt.started is None:
            return []
        attempt.announced = True
        if attempt.ended is None:
            self._note(attempt)
        return [translate.task_event(self._about(attempt), "running", attempt.started)]

    def _note(self, attempt: Attempt) -> None:
        if self._ledger is None:
            return
        app = self._names.get(attempt.function_id or "", attempt.function_id)
        self._ledger.note(
            Entry(
                task_id=attempt.task_id,
                run_id=self.run_id,
                executor=self.endpoint,
                submitted=attempt.submitted,
                try_id=attempt.try_id,
                app=app,
                place=attempt.place,
            )
        )

    def _learn_name(self, attempt: Attempt, name: str | None) -> None:
        if name and attempt.function_id and len(self._names) < MAX_REMEMBERED:
            self._names.setdefault(attempt.function_id, name)

    def _place_lost(self, attempt: Attempt, error: BaseException) -> None:
        """Put down where a try was, from what a lost worker or manager names."""
        kept = own_attributes(error)
        host, worker_id = kept.get("hostname"), kept.get("worker_id")
        if isinstance(host, str) and "pid" not in attempt.place:
            known = self._workers.get((host, worker_id)) if isinstance(worker_id, int) else None
            attempt.place = {**attempt.place, **(known or {"host": host})}
        if isinstance(worker_id, int):
            attempt.place = {**attempt.place, "worker_id": worker_id}

    def _hear_manager(self, content: Mapping[str, Any], now: float) -> None:
        message = {**content, "run_id": self.run_id, "executor_label": self.endpoint}
        place = {"host": content["hostname"], "block": content["block_id"], "manager": content["uid"]}
        with self.lock:
            for number in content.get("tasks", ()):
                attempt = self.attempts.of_number(number)
                if attempt is not None and not attempt.place:
                    attempt.place = place
            if not content.get(reports.ONLY_PLACEMENTS):
                self.tell(reports.manager_heartbeat(message, now, FRAMEWORK))

    def _hear_worker(self, message: Mapping[str, Any]) -> None:
        kind, place = message["kind"], message["place"]
        with self.lock:
            if kind == "worker":
                if len(self._workers) < MAX_REMEMBERED:
                    self._workers[place["host"], place["worker_id"]] = place
            elif kind == "samples":
                self._hear_samples(message)
            elif kind == "sample":
                self._hear_sample(message, place)
            elif kind == "heartbeat":
                self.tell(reports.node_heartbeat(self.run_id, message, FRAMEWORK))

    def _hear_samples(self, message: Mapping[str, Any]) -> None:
        """A pool tells what its workers use."""
        tries: list[tuple[dict[str, Any], Mapping[str, Any]]] = []
        for sample in message["tries"]:
            attempt = self.attempts.of_mark(sample["number"])
            if attempt is not None and attempt.ended is None:
                self._learn_name(attempt, sample["app"])
                place = reports.place_of(message, sample)
                attempt.place, attempt.started, attempt.usage = place, sample["started"], sample["usage"]
                self.tell(*self._begun(attempt))
                app = self._names.get(attempt.function_id or "", attempt.function_id)
                tries.append(({"task_id": attempt.task_id, "try_id": attempt.try_id, "app": app}, sample))
        if tries:
            about = {"run_id": self.run_id, "framework": FRAMEWORK, "executor": self.endpoint}
            self.tell(reports.samples_event(about, message, tries))

    def _hear_sample(self, message: Mapping[str, Any], place: dict[str, Any]) -> None:
        """A worker tells what it uses: its pool is Parsl's own."""
        attempt = self.attempts.of_task(message["task_id"])
        if attempt is None or attempt.try_id != message["try_id"] or attempt.ended is not None:
            return  # its try ended meanwhile
        self._learn_name(attempt, message["app"])
        attempt.place, attempt.started, attempt.usage = place, message["started"], message["usage"]
        self.tell(*self._begun(attempt), reports.sample_event(self._about(attempt), message))
