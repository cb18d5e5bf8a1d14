"""Runs of `stream`, what they said, and what is in the topic afterwards by the word of a client that is not ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from confluent_kafka import Consumer, KafkaError, TopicPartition

from octopus_plugins import OctopusConfig, tasks
from octopus_plugins.events import Topic
from octopus_plugins.fabric import kafka_options, topic_name

from .stream import event

WHOLE = "OCTOPUS_GUARANTEES" in os.environ
"""Whether everything is done as ``docs/delivery.md`` tells it, by ``make guarantees``: with more events, for longer."""

EVENTS = 100_000 if WHOLE else 40_000
STREAM = Path(__file__).with_name("stream.py")
PATIENCE = 240.0
HELD_UP_SECONDS = 5.0
"""No call of ``emit`` may take as long; one that waits for what is broken would. Generous: the machine may be busy."""

ALL = {"emitted": EVENTS, "delivered": EVENTS, "spooled": 0, "dropped": 0, "rejected": 0}
"""The counts of an emitter that lost nothing."""


def counted(told: Mapping[str, int]) -> dict[str, int]:
    """Those counts of what a run said."""
    return {name: told[name] for name in ALL}


def environment(settings: dict[str, Any]) -> dict[str, str]:
    """The environment of a process with these settings and no others."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OCTOPUS_")}
    return inherited | {f"OCTOPUS_{name.upper()}": str(value) for name, value in settings.items()}


def octopus(*arguments: str, settings: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """A command of ours, with these settings."""
    command = [sys.executable, "-m", "octopus_plugins.cli", *arguments]
    return subprocess.run(
        command, env=environment(settings), capture_output=True, text=True, timeout=PATIENCE, check=False
    )


class Run:
    """A process that emits.

    Args:
        settings: Its configuration, as OctopusConfig has it.
        log: File for what it warns of.
        options: Of `stream`.
        wrapper: Command that the process is started by.
    """

    def __init__(self, settings: dict[str, Any], log: Path, *options: str, wrapper: Sequence[str] = ()) -> None:
        self.log = log
        self._command = [*wrapper, sys.executable, str(STREAM), *options]
        self._environment = environment(settings)
        self._told: list[dict[str, Any]] = []
        self._changed = threading.Condition()

    def __enter__(self) -> Run:
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                self._command, env=self._environment, stdout=subprocess.PIPE, stderr=log, text=True
            )
        self._thread = threading.Thread(target=self._read)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        self._thread.join()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def wait(self, condition: Callable[[dict[str, Any]], object], seconds: float = PATIENCE) -> dict[str, Any]:
        """Wait until what was said last meets a condition."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while not self._told or not condition(self._told[-1]):
                left = deadline - time.monotonic()
                assert left > 0 and not self.died, (self._told[-1:], self.warnings)
                self._changed.wait(min(left, 0.5))
            return self._told[-1]

    @property
    def died(self) -> bool:
        """Whether it ended otherwise than well."""
        return self.process.poll() not in (None, 0)

    def reached(self, number: int) -> dict[str, Any]:
        """Wait until so many events were emitted."""
        return self.wait(lambda told: told["number"] >= number)

    def finish(self) -> dict[str, Any]:
        """Wait for its end; what it said last."""
        told = self.wait(lambda told: told["final"])
        assert self.process.wait(60) == 0, self.warnings
        assert told["slowest"] < HELD_UP_SECONDS
        return told

    def kill(self) -> dict[str, Any]:
        """End it with SIGKILL; what it said last."""
        self.process.kill()
        self.process.wait()
        self._thread.join()
        return self._told[-1]

    @property
    def warnings(self) -> list[str]:
        """What it warned of."""
        return self.log.read_text().splitlines()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                if line.endswith("\n"):  # a process that is killed may be in the middle of one
                    self._told.append(json.loads(line))
                self._changed.notify_all()


@dataclass
class Found:
    """What is in the topic.

    Attributes:
        records: How many records.
        ids: How often each event is there, by id.
        out_of_order: Events that come after a later one of their task, without second copies.
    """

    records: int = 0
    ids: Counter[str] = field(default_factory=Counter)
    out_of_order: int = 0


def look(config: OctopusConfig) -> Found:
    """Read the topic of task metrics from its begin to its end, with a bare client."""
    name = topic_name(config, Topic.task_metrics)
    options = kafka_options(config)
    consumer = Consumer(
        {
            **options,
            "group.id": f"{config.namespace}.witness",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    found, last = Found(), defaultdict[tuple[str, str], int](lambda: -1)
    try:
        partitions = consumer.list_topics(name, timeout=60).topics[name].partitions
        consumer.assign([TopicPartition(name, partition, 0) for partition in partitions])
        ended: set[int] = set()
        while len(ended) < len(partitions):
            for message in consumer.consume(10_000, 5.0):
                error = message.error()
                if error is not None:
                    assert error.code() == KafkaError._PARTITION_EOF, error
                    ended.add(message.partition())
                    continue
                said = json.loads(message.value())
                found.records += 1
                found.ids[said["id"]] += 1
                if found.ids[said["id"]] == 1:
                    data = said["data"]
                    task, number = (data["run_id"], data["task_id"]), data.get("try_id", 0)
                    found.out_of_order += number < last[task]
                    last[task] = number
    finally:
        consumer.close()
    return found


def ids(first: int = 0, last: int = EVENTS, run: str = "r") -> set[str]:
    """The ids of a run's events."""
    return {event(number, run).id for number in range(first, last)}


def assert_all_there(
    config: OctopusConfig, guarantee: str, told: Mapping[str, int], expected: Collection[str] | None = None
) -> Found:
    """Every event is in the topic, those of each task in order; our own reader gives each exactly once, in order.

    Args:
        config: Where to look.
        guarantee: What happened meanwhile, for the documentation.
        told: What the emitter counted, for the documentation.
        expected: The ids of the events; default: those of a whole run.
    """
    found = look(config)
    assert set(found.ids) == set(ids() if expected is None else expected)
    assert found.out_of_order == 0
    assert read_in_order(config) == len(found.ids)
    note(guarantee, found, told)
    return found


def read_in_order(config: OctopusConfig) -> int:
    """Read the topic with our own reader: each event comes once, and after those before it of its task; how many."""
    last = defaultdict[tuple[str, str], int](lambda: -1)
    read = 0
    for one in tasks(config=config):
        assert one.try_id > last[one.run_id, one.task_id]
        last[one.run_id, one.task_id] = one.try_id
        read += 1
    return read


def note(guarantee: str, found: Found, told: Mapping[str, int]) -> None:
    """Write down what was counted and found, for the documentation, where ``OCTOPUS_GUARANTEES`` names a file."""
    file = os.environ.get("OCTOPUS_GUARANTEES")
    if file:
        test = os.environ["PYTEST_CURRENT_TEST"].partition("::")[2].partition(" ")[0]
        counts = {name: told.get(name, 0) for name in ("emitted", "delivered", "replayed", "dropped")}
        line = {"guarantee": guarantee, "test": test, **counts, "records": found.records, "events": len(found.ids)}
        with Path(file).open("a") as out:
            out.write(json.dumps(line) + "\n")
