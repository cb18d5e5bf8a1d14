"""What can go wrong around a run, and must not touch it: one clear warning each, and the records arrive in the end."""

from __future__ import annotations

import logging
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import workflow_apps as apps
from parsl import python_app
from parsl.config import Config
from parsl.executors import ThreadPoolExecutor

from octopus_plugins import hookimpl
from octopus_plugins.fabric import orphans, replay
from octopus_plugins.plugins import Plugins
from parsl_monitor import OctopusMonitoringHub, WrathRetryHandler

Make = Callable[..., Any]


class Broken:
    """A plugin that raises in every hook."""

    @hookimpl
    def octopus_rules(self) -> Any:
        raise RuntimeError("rules are broken")

    @hookimpl
    def octopus_transform(self, event: Any) -> Any:
        raise RuntimeError("transform is broken")

    @hookimpl
    def octopus_decision(self, failure: Any, decision: Any) -> Any:
        raise RuntimeError("decision is broken")

    @hookimpl
    def octopus_decided(self, failure: Any, decision: Any) -> None:
        raise RuntimeError("decided is broken")


def configured(octopus: Any, *, plugins: Plugins | None = None, executor: Any = None, **handler: Any) -> Config:
    return Config(
        executors=[executor or ThreadPoolExecutor(label="threads", max_threads=2)],
        monitoring=OctopusMonitoringHub(octopus=octopus, plugins=plugins or Plugins()),
        retry_handler=WrathRetryHandler(**handler),
        retries=2,
        strategy="none",
        initialize_logging=False,
    )


def workflow() -> dict[str, Any]:
    return {
        **{f"double-{number}": apps.double(number) for number in range(5)},
        "bug": apps.look_up("omega"),
    }


def assert_well(told: Any) -> None:
    """The workflow's results are those of plain Parsl."""
    assert [told.outcomes[f"double-{number}"] for number in range(5)] == [0, 2, 4, 6, 8]
    assert isinstance(told.outcomes["bug"], ValueError)


def assert_all_told(told: Any) -> None:
    """All that was to be said of the workflow is in the topics."""
    for number in range(5):
        assert told.states(f"double-{number}") == ["pending", "launched", "exec_done"]
    assert [failure.try_id for failure in told.failures("bug")] == [0, 1, 2]
    assert [decision.action for decision in told.decisions("bug")] == ["retry", "retry", "terminate"]
    assert [event.state for event in told.runs()] == ["started", "configured", "ended"]


def test_a_plugin_that_raises_in_every_hook_is_reported_once_per_hook(run: Make, settings: Make) -> None:
    octopus = settings()
    plugins = Plugins()
    plugins.register(Broken(), "broken")
    told = run(configured(octopus, plugins=plugins), workflow, octopus=octopus)
    assert_well(told)
    assert_all_told(told)
    hooks = ("octopus_rules", "octopus_transform", "octopus_decision", "octopus_decided")
    assert sorted(hook for hook in hooks for message in told.messages if hook in message) == sorted(hooks)
    assert len(told.messages) == len(hooks)
    assert all("'broken'" in message for message in told.messages)


def test_with_a_broker_that_cannot_be_reached_the_run_goes_on_and_its_records_wait(
    run: Make, settings: Make, broker: Any
) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        octopus = settings(profile="kafka", bootstrap_servers=address)
        told = run(configured(octopus), workflow, octopus=octopus)
    assert_well(told)
    away, left = told.messages
    assert address in away and str(octopus.spool_dir) in away
    assert "octopus spool replay" in left
    assert told.seconds < 10
    assert len(orphans(octopus)) == 1
    reachable = octopus.model_copy(update={"bootstrap_servers": broker.address})
    assert replay(reachable).remaining == 0
    told.config = reachable.model_copy(update={"profile": "local"})  # whose reader knows the embedded broker's ways
    assert_all_told(told)


def test_oversized_events_are_cut_and_arrive(run: Make, settings: Make) -> None:
    octopus = settings()

    def shouting() -> dict[str, Any]:
        def named() -> None:
            raise ValueError("who?")

        named.__name__ = "n" * 2_000_000
        return workflow() | {"loud": apps.shout(5_000_000), "named": python_app(named)()}

    told = run(configured(octopus), shouting, octopus=octopus)
    assert_well(told)
    assert_all_told(told)
    assert len(str(told.outcomes["loud"])) == 5_000_000
    assert len(told.failures("loud")[0].exception.message) <= 4_096
    assert told.states("loud")[-1] == told.states("named")[-1] == "failed"
    assert told.failures("named")[0].truncated
    assert told.messages == []


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB, for whoever may mount one."""
    directory = tmp_path / "full"
    directory.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "octopus-test", str(directory)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"needs to mount a small tmpfs, as root: {mounted.stderr.decode().strip()}")
    yield directory
    subprocess.run(["umount", str(directory)], check=True)


def test_with_a_full_spool_disk_records_arrive_through_memory(run: Make, settings: Make, full_disk: Path) -> None:
    (full_disk / "ballast").write_bytes(b"x" * 60_000)
    octopus = settings(spool_dir=full_disk / "spool")
    told = run(configured(octopus), workflow, octopus=octopus)
    assert_well(told)
    assert_all_told(told)
    (message,) = [message for message in told.messages if "spool" in message]
    assert str(octopus.spool_dir) in message


def test_with_a_spool_directory_that_cannot_be_made_records_arrive_through_memory(
    run: Make, settings: Make, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    octopus = settings(spool_dir=tmp_path / "file" / "spool")
    told = run(configured(octopus), workflow, octopus=octopus)
    assert_well(told)
    assert_all_told(told)
    (message,) = told.messages
    assert str(octopus.spool_dir) in message and "OCTOPUS_SPOOL_DIR" in message


def test_a_ladder_that_names_an_unknown_executor_is_warned_of_once(run: Make, settings: Make) -> None:
    octopus = settings()
    told = run(configured(octopus, ladder=["threds", "large"]), workflow, octopus=octopus)
    assert_well(told)
    assert_all_told(told)
    misspelt, unknown = told.messages
    assert "'threds'" in misspelt and "did you mean 'threads'?" in misspelt
    assert "'large'" in unknown and "threads" in unknown


@pytest.mark.slow
def test_a_worker_that_raises_what_cannot_be_read_back_costs_only_its_task(
    run: Make, settings: Make, executor: Make
) -> None:
    octopus = settings()

    handlers: list[logging.Handler] = []

    def hostile() -> dict[str, Any]:
        handlers.extend(each for each in logging.getLogger("parsl").handlers if isinstance(each, logging.FileHandler))
        return workflow() | {
            "unreadable": apps.unreadable(),
            "unprintable": apps.unprintable(),
            **{f"exits-{number}": apps.exits_when_asked() for number in range(4)},
            "leave": apps.leave(),
        }

    config = configured(
        octopus, executor=executor("small", workers=2), policy={"categories": {"worker_lost": {"maximum_attempts": 2}}}
    )
    config.initialize_logging = True  # Parsl writes each of them down, and leaves the file open
    told = run(config, hostile, octopus=octopus)
    for handler in handlers:
        handler.close()
    assert_well(told)
    assert told.failures("unreadable")[0].exception.type.endswith("DeserializationError")
    assert "octopus_module_of_nobody" in told.failures("unreadable")[0].exception.message
    assert told.failures("unprintable")[0].exception.type.endswith("Mute")
    for number in range(4):  # the second of a kind is written to Parsl's log another way than the first
        assert told.failures(f"exits-{number}")[0].exception.type.endswith("Exits")
        assert told.states(f"exits-{number}")[-1] == "failed"
    assert told.failures("leave")[0].exception.type.endswith("WorkerLost")
    for name in ("unreadable", "unprintable", "leave"):
        assert told.states(name)[-1] == "failed"
    assert told.messages == []


def test_nothing_of_the_run_is_left_in_the_working_directory(run: Make, settings: Make) -> None:
    before = sorted(Path.cwd().iterdir())
    octopus = settings()
    told = run(configured(octopus), workflow, octopus=octopus)
    assert sorted(Path.cwd().iterdir()) == before
    assert [path for path in octopus.spool_dir.rglob("*") if path.is_file()] == []
    assert_all_told(told)
