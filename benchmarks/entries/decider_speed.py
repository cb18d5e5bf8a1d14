"""Failures a second through decider services on Apache Kafka, by partitions, against a bare consume loop."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from benchmarks.entries.decider_service import check, configured, serving
from benchmarks.entries.sample_events import failure
from benchmarks.figures import Figure, Goal, Options, Result, Spread
from benchmarks.pairing import in_turn, ratios
from benchmarks.session import environment
from benchmarks.usage import process_cpu
from octopus_plugins.config import OctopusConfig
from octopus_plugins.events import Topic, encode
from octopus_plugins.fabric import Emitter, ensure_topics, kafka_options, topic_name
from octopus_plugins.fabric.kafka.reader import reading_options
from octopus_plugins.local import ApacheKafka

MEMBERS = (1, 2, 4)
"""Members of the group, and partitions of the topic of failures."""

GROUP = "bench"
_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Speeds:
    """Measures on one cluster.

    Attributes:
        kafka: The cluster.
        directory: For logs and spools.
        failures: How many failures each time.
        cpu: Microseconds of CPU of all services for each failure, by members.
        bare_cpu: Microseconds of CPU of the bare loop for each failure.
        twice: Decisions above one for each failure, in all runs.
    """

    kafka: ApacheKafka
    directory: Path
    failures: int
    cpu: dict[int, list[float]] = field(default_factory=dict)
    bare_cpu: list[float] = field(default_factory=list)
    twice: list[int] = field(default_factory=list)

    def decide(self, members: int) -> float:
        """Failures per second of a group of services, from a topic with as many partitions.

        The services stand still while the failures are produced: what is measured is they alone.

        Raises:
            RuntimeError: Not all were decided in time, or a service ended.
        """
        name = f"bench-{uuid.uuid4().hex[:12]}"
        config = self._config(name, members)
        with contextlib.ExitStack() as stack:
            logs = [self.directory / f"{name}-{number}.log" for number in range(members)]
            surroundings = {
                **environment(self.kafka.address, name, self.directory / name),
                "OCTOPUS_PROFILE": "kafka",
                "PYTHONUNBUFFERED": "",
            }
            services = [stack.enter_context(serving(surroundings, log, "--group", GROUP)) for log in logs]
            run_id = _configured(config)
            self._await_shares(config, members, services, logs)
            records = self._failures(run_id)  # first: a member that stands still for 10 s loses its share
            _send(services, signal.SIGSTOP)
            self._produce(config, records)
            before, begin = sum(process_cpu(service.pid) for service in services), time.perf_counter()
            _send(services, signal.SIGCONT)
            decided = self._await_decisions(config, services, logs)
            seconds = time.perf_counter() - begin
            used = sum(process_cpu(service.pid) for service in services) - before
        self.cpu.setdefault(members, []).append(1e6 * used / self.failures)
        self.twice.append(decided - self.failures)
        return self.failures / seconds

    def consume(self) -> float:
        """Failures per second of one bare consume loop.

        Raises:
            RuntimeError: Not all were read in time.
        """
        config = self._config(f"bench-{uuid.uuid4().hex[:12]}", 1)
        place = TopicPartition(topic_name(config, Topic.failures), 0, OFFSET_BEGINNING)
        consumer = Consumer(reading_options(config))
        consumer.assign([place])
        while consumer.poll(1.0) is None:  # the end of the empty partition: it is connected, as the services are
            pass
        consumer.pause([place])
        self._produce(config, self._failures(str(uuid.uuid4())))
        found, used, begin = 0, time.process_time(), time.perf_counter()
        consumer.resume([place])
        while found < self.failures and time.perf_counter() - begin < _SECONDS:
            found += sum(message.error() is None for message in consumer.consume(1000, 0.1))
        seconds, used = time.perf_counter() - begin, time.process_time() - used
        consumer.close()
        if found != self.failures:
            raise RuntimeError(f"{found:,} of {self.failures:,} failures were read")
        self.bare_cpu.append(1e6 * used / self.failures)
        return found / seconds

    def _config(self, name: str, partitions: int) -> OctopusConfig:
        """A namespace with its topics, that of failures with so many partitions."""
        config = OctopusConfig(**self.kafka.client_settings(name), spool_dir=self.directory / name)
        admin = AdminClient(kafka_options(config))
        wanted = NewTopic(topic_name(config, Topic.failures), num_partitions=partitions)
        for made in admin.create_topics([wanted]).values():
            made.result(30)
        ensure_topics(config)
        return config

    def _await_shares(
        self, config: OctopusConfig, members: int, services: list[subprocess.Popen[bytes]], logs: list[Path]
    ) -> None:
        """Wait until each member has one partition, and all have read so far that they decide."""
        admin = AdminClient(kafka_options(config))
        group = f"{config.namespace}.{GROUP}"
        for _ in _patience("the group did not share out the partitions"):
            _check_all(services, logs)
            with contextlib.suppress(Exception):  # there is no such group at first
                found: Any = admin.describe_consumer_groups([group])[group].result(10)
                shares = [len(member.assignment.topic_partitions) for member in found.members]
                ready = all("Deciding for" in log.read_text(errors="replace") for log in logs)
                if shares == [1] * members and ready:
                    return

    def _failures(self, run_id: str) -> list[tuple[bytes, bytes]]:
        """Keys and values of the failures."""
        now = time.time()
        events = [msgspec.structs.replace(failure(number), run_id=run_id, time=now) for number in range(self.failures)]
        return [(event.key.encode(), encode(event)) for event in events]

    def _produce(self, config: OctopusConfig, records: list[tuple[bytes, bytes]]) -> None:
        producer = Producer({**kafka_options(config), "linger.ms": 5, "queue.buffering.max.messages": 0})
        name = topic_name(config, Topic.failures)
        for key, value in records:
            producer.produce(name, value, key)
            producer.poll(0)
        if producer.flush(_SECONDS):
            raise RuntimeError("the failures were not all produced")

    def _await_decisions(self, config: OctopusConfig, services: list[subprocess.Popen[bytes]], logs: list[Path]) -> int:
        """Wait until each failure is decided; how many decisions there are."""
        consumer = Consumer(reading_options(config))
        place = TopicPartition(topic_name(config, Topic.decisions), 0, OFFSET_BEGINNING)
        keys: set[bytes | None] = set()
        count, reading = 0, False
        try:
            for _ in _patience("the failures were not all decided"):
                _check_all(services, logs)
                # The end of the topic costs nothing to ask for; what is in it is read when it can be all.
                _, end = consumer.get_watermark_offsets(place, timeout=10)
                if end < self.failures:
                    continue
                if not reading:
                    consumer.assign([place])
                    reading = True
                for message in consumer.consume(self.failures, 0.1):
                    if message.error() is None:
                        count += 1
                        keys.add(message.key())
                if len(keys) >= self.failures:
                    return count
        finally:
            consumer.close()
        raise AssertionError("unreachable: patience ends by an error")


def measure(options: Options) -> Result:
    """Failures/s of decider services, 1, 2 and 4 in a group with as many partitions, against a bare consume loop."""
    failed, members = (2_000, MEMBERS[:2]) if options.quick else (20_000, MEMBERS)
    with tempfile.TemporaryDirectory(prefix="octopus-bench-") as directory, ApacheKafka() as kafka:
        speeds = Speeds(kafka, Path(directory), failed)
        variants = {_said(number): partial(speeds.decide, number) for number in members}
        rates = in_turn({**variants, "bare loop": speeds.consume}, 1 if options.quick else options.rounds(3))
    bare = rates["bare loop"]
    one = rates[_said(1)]
    figures = (
        Figure(f"{_said(1)} / bare loop", ratios(one, bare), "×", Goal(0.3)),
        *(Figure(f"{_said(n)} / {_said(1)}", ratios(rates[_said(n)], one), "×", Goal(1)) for n in members[1:]),
        *(Figure(_said(n), Spread.of(rates[_said(n)]), "failures/s") for n in members),
        Figure("bare loop", Spread.of(bare), "failures/s"),
        *(Figure(f"CPU per failure, {_said(n)}", Spread.of(speeds.cpu[n]), "µs") for n in members),
        Figure("CPU per failure, bare loop", Spread.of(speeds.bare_cpu), "µs"),
    )
    notes = (
        f"{failed:,} failures of {len(encode(failure(0))):,} bytes that wait in the topic, `octopus wrath serve"
        " --group`, one node of Apache Kafka on the same machine; until the last decision is in its topic",
        "each member takes in what the others decide, for its history: more members decide more failures, and each of"
        " them reads all; with the broker they share the processors of this machine",
        f"decisions above one for each failure, in all runs: {sum(speeds.twice):,}; where there are many, a member was"
        " taken for dead while it stood still, and its share decided by others too",
    )
    raw = {"failures/s": rates, "cpu in µs": {str(n): found for n, found in speeds.cpu.items()}}
    return Result("decider-speed", "failures a second through decider services", figures, notes, raw)


def _said(members: int) -> str:
    return "1 decider" if members == 1 else f"{members} deciders"


def _configured(config: OctopusConfig) -> str:
    """Tell of a run that has its failures decided by the service; its id."""
    run_id = str(uuid.uuid4())
    emitter = Emitter(config)
    emitter.emit(configured(run_id))
    if not emitter.flush(30):
        raise RuntimeError(f"the run was not told within 30 s: {emitter.counts}")
    emitter.close()
    return run_id


def _send(services: list[subprocess.Popen[bytes]], number: signal.Signals) -> None:
    for service in services:
        service.send_signal(number)


def _check_all(services: list[subprocess.Popen[bytes]], logs: list[Path]) -> None:
    for service, log in zip(services, logs, strict=True):
        check(service, log)


def _patience(what: str) -> Iterator[None]:
    """Look again every few milliseconds, until patience ends."""
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        yield
        time.sleep(0.02)
    raise RuntimeError(f"{what} within {_SECONDS:g} s")
