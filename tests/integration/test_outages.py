"""What happens to events while the broker is away: nothing that a workflow would notice, and no record is lost."""

from __future__ import annotations

import logging
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.proxy import ProxiedBroker
from octopus_plugins.config import OctopusConfig
from octopus_plugins.errors import BrokerUnreachableError
from octopus_plugins.events import Failure, Heartbeat, Task, Topic
from octopus_plugins.events.failure import ExceptionInfo
from octopus_plugins.fabric import Emitter, Reader, existing_topics, orphans, replay
from octopus_plugins.fabric.produce import producer as producer_module
from octopus_plugins.fabric.produce import sender as sender_module
from octopus_plugins.local.embedded import EmbeddedBroker
from octopus_plugins.local.tansu import free_port

MakeConfig = Callable[..., OctopusConfig]
WaitFor = Callable[..., None]


def task(number: int, state: str = "running") -> Task:
    return Task(run_id="run", task_id=str(number), time=1_700_000_000.0 + number, state=state)


def numbers(config: OctopusConfig) -> list[int]:
    return [int(event.key.removeprefix("run/")) for event in Reader(config, Topic.task_metrics)]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]


@pytest.fixture
def own_broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as broker:
        yield broker


def test_a_broker_that_is_away_at_the_start_gets_everything_when_it_comes(
    make_config: MakeConfig, wait_for: WaitFor, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="octopus_plugins")
    broker = EmbeddedBroker(free_port())
    config = make_config(f"127.0.0.1:{broker.port}")
    emitter = Emitter(config)
    emitter.emit(*(task(number) for number in range(100)))
    wait_for(lambda: warnings(caplog))
    assert emitter.counts.spooled == 100
    with broker:
        assert emitter.flush(30)
        assert numbers(config) == list(range(100))
        emitter.close(10)
    away, back, report = [each.getMessage() for each in caplog.records]
    assert warnings(caplog) == [away], "one warning for the whole time"
    assert config.servers in away
    assert "octopus broker up" in away
    assert str(config.spool_dir) in away
    assert "delivered again" in back
    assert "emitted 100, delivered 100, spooled 0, replayed 0, dropped 0" in report


def test_a_broker_that_is_back_but_slow_to_answer_is_waited_for_at_the_end(
    proxied_broker: ProxiedBroker,
    make_config: MakeConfig,
    wait_for: WaitFor,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(producer_module, "_BACK_CLOSE_SECONDS", 30.0)  # for a machine on which all takes long
    proxied_broker.proxy.cut()
    config = make_config(proxied_broker.address)
    emitter = Emitter(config)
    emitter.emit(*(task(number) for number in range(100)))
    wait_for(lambda: warnings(caplog))
    proxied_broker.proxy.silence()
    answering = threading.Timer(1.0, proxied_broker.proxy.restore)
    answering.start()
    emitter.close(60)
    answering.join()
    assert numbers(config) == list(range(100))
    assert orphans(config) == []


def stop(pid: int, wait_for: WaitFor) -> None:
    """Stop a process, all of its threads: each goes on until it hears of it."""
    os.kill(pid, signal.SIGSTOP)
    threads = Path(f"/proc/{pid}/task")

    def stands_still() -> bool:
        return all((each / "stat").read_text().rpartition(")")[2].split()[0] == "T" for each in threads.iterdir())

    wait_for(stands_still)


@pytest.mark.slow
def test_a_broker_stopped_in_the_middle_gets_everything_when_it_goes_on(
    own_broker: EmbeddedBroker, make_config: MakeConfig, wait_for: WaitFor
) -> None:
    config = make_config(own_broker.address)
    emitter = Emitter(config)
    emitter.emit(*(task(number) for number in range(100)))
    assert emitter.flush(20)
    stop(own_broker.pid, wait_for)
    try:
        start = time.monotonic()
        for number in range(100, 2000):
            emitter.emit(task(number))
        assert time.monotonic() - start < 20, "emitting waits for nobody: the broker would keep it for ever"
        assert not emitter.flush(1)
        assert emitter.counts.spooled == 1900
    finally:
        os.kill(own_broker.pid, signal.SIGCONT)
    assert emitter.flush(30)
    emitter.close(10)
    assert numbers(config) == list(range(2000))
    assert emitter.counts.delivered == 2000


@pytest.mark.slow
def test_a_line_cut_again_and_again_loses_nothing_and_keeps_the_order(
    proxied_broker: ProxiedBroker, make_config: MakeConfig, wait_for: WaitFor
) -> None:
    config = make_config(proxied_broker.address)
    emitter = Emitter(config)
    sent = 0
    for _ in range(3):
        for _ in range(1000):
            emitter.emit(task(sent))
            sent += 1
        proxied_broker.proxy.cut()
        for _ in range(1000):
            emitter.emit(task(sent))
            sent += 1
        assert not emitter.flush(0.3)
        proxied_broker.proxy.restore()
    assert emitter.flush(30)
    emitter.close(10)
    assert numbers(config) == list(range(sent))
    assert emitter.counts.emitted == emitter.counts.delivered == sent


@pytest.mark.slow
def test_the_client_has_no_more_than_a_request_on_its_way(
    proxied_broker: ProxiedBroker, make_config: MakeConfig, wait_for: WaitFor, caplog: pytest.LogCaptureFixture
) -> None:
    # While more is ready, the thread of an idempotent client asks without pause whether that may go.
    config = make_config(proxied_broker.address)
    emitter = Emitter(config)
    emitter.emit(task(0))
    assert emitter.flush(30)
    proxied_broker.proxy.silence()
    for begin in range(1, 12_000, 100):
        emitter.emit(*(task(number) for number in range(begin, begin + 100)))
    wait_for(lambda: warnings(caplog))  # of the silence, after seconds: it has given what it gives by then
    sender = emitter._producer._sender
    assert sender is not None
    given = sender._in_flight
    assert given <= sender_module._TOGETHER_BYTES + sender_module._CHUNK_BYTES
    assert given >= sender_module._TOGETHER_BYTES, "and no less where there is more to send"
    proxied_broker.proxy.restore()
    assert emitter.flush(60)
    emitter.close(10)
    assert numbers(config) == list(range(12_001))


@pytest.mark.slow
def test_a_broker_that_lost_its_memory_gets_what_comes_after(
    own_broker: EmbeddedBroker, make_config: MakeConfig, wait_for: WaitFor
) -> None:
    config = make_config(own_broker.address)
    emitter = Emitter(config)
    emitter.emit(*(task(number) for number in range(100)))
    assert emitter.flush(20)
    own_broker.stop(kill=True)
    emitter.emit(*(task(number) for number in range(100, 200)))
    assert not emitter.flush(0.5)
    own_broker.start()
    emitter.emit(*(task(number) for number in range(200, 300)))
    assert emitter.flush(40)
    emitter.close(10)
    # Topics that come back by themselves have several partitions: only each task's order is left.
    assert sorted(numbers(config)) == list(range(100, 300))


def test_samples_drop_the_oldest_and_records_stay_while_the_broker_is_away(make_config: MakeConfig) -> None:
    broker = EmbeddedBroker(free_port())
    config = make_config(f"127.0.0.1:{broker.port}", sample_queue_bytes=64 * 1024)
    emitter = Emitter(config)
    for number in range(1000):
        emitter.emit(Heartbeat(run_id="run", time=float(number), host="node"), task(number))
    counts = emitter.counts.topics
    dropped = counts["heartbeats"].dropped
    assert 0 < dropped < 1000
    assert counts["task-metrics"].dropped == 0
    with broker:
        assert emitter.flush(30)
        emitter.close(10)
        beats = [event.time for event in Reader(config, Topic.heartbeats)]
        assert numbers(config) == list(range(1000))
    assert beats == [float(number) for number in range(dropped, 1000)]


def test_flush_and_close_take_a_bounded_time_when_the_broker_is_away(
    make_config: MakeConfig, caplog: pytest.LogCaptureFixture
) -> None:
    config = make_config(f"127.0.0.1:{free_port()}")
    emitter = Emitter(config)
    emitter.emit(task(1))
    start = time.monotonic()
    assert not emitter.flush(0.5)
    assert 0.4 < time.monotonic() - start < 10
    start = time.monotonic()
    emitter.close(60)
    assert time.monotonic() - start < 20, "a broker that is known to be away is not waited for as long as another one"
    assert "octopus spool replay" in warnings(caplog)[-1]
    (orphan,) = orphans(config)
    assert (orphan.pid, orphan.count()) == (os.getpid(), 1)


@pytest.mark.slow
def test_close_takes_a_bounded_time_when_the_broker_is_silent(
    own_broker: EmbeddedBroker, make_config: MakeConfig, wait_for: WaitFor
) -> None:
    config = make_config(own_broker.address)
    emitter = Emitter(config)
    emitter.emit(task(1))
    assert emitter.flush(20)
    stop(own_broker.pid, wait_for)
    try:
        emitter.emit(task(2))
        start = time.monotonic()
        emitter.close(1)
        assert time.monotonic() - start < 15, "the second, and what a busy machine adds"
    finally:
        os.kill(own_broker.pid, signal.SIGCONT)
    assert orphans(config)[0].count() == 1
    assert replay(config).delivered == 1
    assert numbers(config) == [1, 2]


def test_what_one_process_leaves_behind_the_next_one_delivers(make_config: MakeConfig, wait_for: WaitFor) -> None:
    broker = EmbeddedBroker(free_port())
    config = make_config(f"127.0.0.1:{broker.port}")
    first = Emitter(config)
    first.emit(*(task(number) for number in range(100)))
    first.close(0.2)
    with broker:
        second = Emitter(config)
        second.emit(task(100))
        assert second.flush(30)
        wait_for(lambda: second.counts.replayed == 100)
        second.close(10)
        assert second.counts.delivered == 1
        assert sorted(numbers(config)) == list(range(101))
    assert list(config.spool_dir.iterdir()) == []


def test_a_replay_without_a_broker_says_so_and_keeps_everything(make_config: MakeConfig) -> None:
    config = make_config(f"127.0.0.1:{free_port()}", connect_timeout=1)
    emitter = Emitter(config)
    emitter.emit(task(1))
    emitter.close(0.2)
    with pytest.raises(BrokerUnreachableError, match="octopus broker up"):
        replay(config)
    assert orphans(config)[0].count() == 1


KILLED = """
import sys
from pathlib import Path
from octopus_plugins.config import OctopusConfig
from octopus_plugins.events import Task
from octopus_plugins.fabric import Emitter
config = OctopusConfig.load(
    profile="local", bootstrap_servers=sys.argv[1], namespace=sys.argv[2], spool_dir=Path(sys.argv[3])
)
emitter = Emitter(config)
for number in range(10**9):
    emitter.emit(Task(run_id="run", task_id=str(number), time=1.0, state="running"))
    if number % 100 == 0:
        print(number, flush=True)
"""


def test_a_killed_process_loses_nothing_that_it_emitted(config: OctopusConfig) -> None:
    arguments = [config.servers, config.namespace, str(config.spool_dir)]
    with subprocess.Popen([sys.executable, "-c", KILLED, *arguments], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        last = 0
        while last < 5000:
            last = int(child.stdout.readline())
        child.kill()
        last = max([last, *map(int, child.stdout.read().split()[:-1])])
    if orphans(config):  # else everything had arrived by then
        report = replay(config)
        assert report.sessions == 1
    found = numbers(config)
    assert found == list(range(len(found)))
    assert len(found) > last
    assert orphans(config) == []


def test_a_full_spool_lets_task_states_go_before_failures(
    make_config: MakeConfig, caplog: pytest.LogCaptureFixture
) -> None:
    broker = EmbeddedBroker(free_port())
    config = make_config(f"127.0.0.1:{broker.port}", spool_max_bytes=1024 * 1024, sample_queue_bytes=512 * 1024)
    emitter = Emitter(config)
    failures = 0
    for number in range(10_000):
        emitter.emit(task(number))
        if number % 100 == 0:
            failures += 1
            emitter.emit(
                Failure(run_id="run", task_id=str(number), time=1.0, exception=ExceptionInfo(type="ValueError"))
            )
    counts = emitter.counts
    assert counts.topics["failures"].dropped == 0
    assert counts.topics["task-metrics"].dropped > 0
    assert sum("takes no more records" in each for each in warnings(caplog)) == 1
    with broker:
        assert emitter.flush(30)
        emitter.emit(task(10_000))
        emitter.close(20)
        assert len(list(Reader(config, Topic.failures))) == failures
        found = numbers(config)
    assert found == sorted(found)
    assert found[-1] == 10_000
    assert len(found) == 10_001 - counts.topics["task-metrics"].dropped
    assert list(config.spool_dir.iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="mounting a small disk needs root on Linux")
def test_a_full_disk_is_reported_and_records_go_through_memory(
    config: OctopusConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no file system may be mounted here: {mounted.stderr.decode()}")
    try:
        small = config.model_copy(update={"spool_dir": disk / "spool", "bootstrap_servers": f"127.0.0.1:{free_port()}"})
        emitter = Emitter(small)
        for number in range(3000):
            emitter.emit(task(number))
        assert sum("takes no more records" in each for each in warnings(caplog)) == 1
        assert 0 < emitter.counts.spooled < 3000
        assert emitter.counts.dropped == 0
        spooled = emitter.counts.spooled
        emitter.close(0.1)
        assert emitter.counts.dropped == 3000 - spooled, "what waited in memory is owned up to"
        assert replay(small.model_copy(update={"bootstrap_servers": config.servers})).delivered == spooled
        assert numbers(config) == list(range(spooled))
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_an_unwritable_spool_costs_a_warning_and_nothing_else(
    config: OctopusConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("not a directory")
    emitter = Emitter(config.model_copy(update={"spool_dir": tmp_path / "file" / "spool"}))
    emitter.emit(task(1), task(2))
    emitter.emit(task(3))
    assert emitter.flush(20)
    emitter.close(5)
    assert numbers(config) == [1, 2, 3]
    assert sum("takes no more records" in each for each in warnings(caplog)) == 1


@pytest.mark.slow
def test_memory_stays_bounded_while_the_broker_is_away(make_config: MakeConfig) -> None:
    config = make_config(f"127.0.0.1:{free_port()}")
    emitter = Emitter(config)
    emitter.emit(task(0))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    text = "x" * 1000
    for number in range(60_000):  # 70 MB of records, 70 MB of samples
        emitter.emit(
            Task(run_id="run", task_id=str(number), time=1.0, state="running", stdout=text),
            Heartbeat(run_id="run", time=float(number), host="node", executor=text),
        )
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert emitter.counts.spooled == 60_001
    assert emitter.counts.dropped > 0
    emitter.close(0.1)
    assert grown * 1024 < 48 * 1024 * 1024


def test_a_query_without_a_broker_says_so_in_time(make_config: MakeConfig) -> None:
    config = make_config(f"127.0.0.1:{free_port()}", connect_timeout=1)
    start = time.monotonic()
    with pytest.raises(BrokerUnreachableError, match="octopus broker up"):
        list(Reader(config, Topic.failures))
    with pytest.raises(BrokerUnreachableError, match=str(config.bootstrap_servers)):
        existing_topics(config)
    assert time.monotonic() - start < 15  # a second each, and what a busy machine adds; by default, 20 s
