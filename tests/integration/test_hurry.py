"""What somebody waits for an answer to does not wait for company."""

from __future__ import annotations

import time

import pytest

from octopus_plugins.config import OctopusConfig
from octopus_plugins.events import ExceptionInfo, Failure, Task
from octopus_plugins.fabric import Emitter
from octopus_plugins.fabric.produce import sender as sender_module


def seconds_until_delivered(emitter: Emitter, number: int, *, hurry: bool) -> float:
    before = emitter.counts.delivered
    failure = Failure(run_id="run", time=time.time(), task_id=str(number), exception=ExceptionInfo(type="ValueError"))
    began = time.monotonic()
    emitter.emit(failure)
    if hurry:
        emitter.hurry()
    while emitter.counts.delivered == before:
        assert time.monotonic() < began + 20
        time.sleep(0.0005)
    return time.monotonic() - began


def test_a_hurried_record_leaves_before_others_have_gathered(emitter: Emitter, monkeypatch: pytest.MonkeyPatch) -> None:
    linger = 0.5  # longer than it is, so that what a busy machine adds makes no difference
    monkeypatch.setattr(sender_module, "_LINGER_SECONDS", linger)
    seconds_until_delivered(emitter, -1, hurry=False)  # the connection is there
    patient = min(seconds_until_delivered(emitter, number, hurry=False) for number in range(3))
    hurried = min(seconds_until_delivered(emitter, number, hurry=True) for number in range(3, 33))
    assert hurried < 0.99 * linger <= patient  # a wait may end some microseconds early


def test_what_waits_in_memory_goes_out_without_a_pause(config: OctopusConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    linger = 5.0
    monkeypatch.setattr(sender_module, "_LINGER_SECONDS", linger)
    config.spool_dir.parent.mkdir(parents=True, exist_ok=True)
    config.spool_dir.write_text("no directory: no record can be written to disk")
    emitter = Emitter(config)
    seconds_until_delivered(emitter, -1, hurry=True)
    began = time.monotonic()
    emitter.emit(*(Task(run_id="run", time=1.0, task_id=str(number), state="running") for number in range(2_000)))
    while emitter.counts.delivered < 2_001:
        assert time.monotonic() < began + 4 * linger, "a pause for each of the twenty pieces that it is sent in"
        time.sleep(0.01)
    emitter.close(10)
    assert emitter.counts.dropped == 0


def test_to_hurry_before_anything_was_emitted_is_nothing(config: OctopusConfig) -> None:
    emitter = Emitter(config)
    emitter.hurry()
    emitter.close(1)
    emitter.hurry()
