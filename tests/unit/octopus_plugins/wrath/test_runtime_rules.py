"""The runtime layer: what is used up, and what is gone."""

from __future__ import annotations

import asyncio
import errno
import mmap
import os
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import Future

import msgspec
import numpy as np
import pytest
from parsl.app.python import timeout
from parsl.executors.high_throughput.errors import ManagerLost, WorkerLost

from octopus_plugins.events import (
    Block,
    ExceptionInfo,
    Failure,
    Heartbeat,
    Pool,
    Run,
    WorkerState,
)
from octopus_plugins.wrath import History, Policy, categorize, decide

from .causes import assert_categorized, bash, break_process_pool, busy, fill_disk, open_too_many, program, wrap

CASES = [
    (timeout(busy, 0.05), "walltime_exceeded", "unknown"),
    (bash("kill -XCPU $$"), "walltime_exceeded", "unknown"),
    (bash("timeout 0.05 sleep 60"), "walltime_exceeded", "unknown"),
    (lambda: bytearray(1 << 62), "memory_exhausted", "yes"),
    (lambda: np.ones((10**8, 10**7)), "memory_exhausted", "yes"),
    (lambda: mmap.mmap(-1, 1 << 60), "memory_exhausted", "yes"),
    (open_too_many, "file_descriptors_exhausted", "yes"),
    (fill_disk, "disk_full", "yes"),
    (break_process_pool, "worker_lost", "yes"),
    (lambda: subprocess.run(["sleep", "9"], check=True, timeout=0.05), "walltime_exceeded", "unknown"),
    (lambda: Future().result(timeout=0.01), "walltime_exceeded", "unknown"),
    (lambda: asyncio.run(asyncio.wait_for(asyncio.sleep(9), 0.01)), "walltime_exceeded", "unknown"),
    (wrap(timeout(busy, 0.05)), "walltime_exceeded", "unknown"),
]


@pytest.mark.parametrize(
    ("cause", "category", "resolvable"), CASES, ids=lambda value: getattr(value, "__name__", value)
)
def test_a_real_failure_gets_its_category(fail, cause, category, resolvable):
    assert_categorized(fail(cause), category, resolvable)


def test_a_fork_that_is_refused_is_the_process_limit(fail):
    script = """
        import os, resource, subprocess, sys
        import msgspec
        from octopus_plugins.events.exceptions import failure_details
        if os.getuid() == 0:
            os.setuid(65534)  # root has no limit
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
        try:
            subprocess.Popen(["true"])
        except OSError as error:
            sys.stdout.buffer.write(msgspec.json.encode(failure_details(error)))
    """
    child = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, check=True, env={**os.environ}
    )
    details = msgspec.json.decode(child.stdout)
    info = msgspec.convert(details["exception"], ExceptionInfo)
    assert info.attributes["errno"] == errno.EAGAIN
    failure = Failure(run_id="r", task_id="1", time=0.0, exception=info, traceback=details["traceback"])
    assert categorize(failure).category == "process_limit"


def test_eagain_on_a_pipe_is_no_process_limit(fail):
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    try:
        found = categorize(fail(lambda: os.read(reading, 1)))
    finally:
        os.close(reading)
        os.close(writing)
    assert found.category == "resource_busy"


def test_a_heartbeat_knows_the_signal_that_ended_a_worker(fail):
    history = History()
    worker = WorkerState(pid=77, alive=False, signal=int(signal.SIGSEGV))
    history.observe(Heartbeat(run_id="r", time=1.0, host="small-0", workers=(worker,)))
    assert categorize(fail(WorkerLost(0, "small-0"), pid=77), history).category == "native_crash"
    assert categorize(fail(WorkerLost(0, "small-0"), pid=78), history).category == "worker_lost"


@pytest.mark.parametrize(
    ("state", "category"),
    [
        ("TIMEOUT", "walltime_exceeded"),
        ("FAILED", "block_failed"),
        ("JobState.CANCELLED", "preempted"),
        ("RUNNING", "manager_lost"),
    ],
)
def test_a_lost_manager_is_explained_by_its_block(fail, state, category):
    history = History()
    history.observe(Block(run_id="r", time=1.0, executor="small", block="0", state=state))
    found = categorize(fail(ManagerLost(b"m", "small-0"), block="0"), history)
    assert found.category == category


def test_a_worker_lost_at_the_end_of_its_blocks_walltime_ran_out_of_time(fail):
    history = History()
    history.observe(Run(run_id="r", time=0.0, state="started", pools=(Pool(label="small", walltime=600.0),)))
    history.observe(Block(run_id="r", time=100.0, executor="small", block="0", state="RUNNING"))
    late = fail(WorkerLost(0, "small-0"), block="0", time=695.0)
    early = fail(WorkerLost(0, "small-0"), block="0", time=300.0)
    assert categorize(late, history).category == "walltime_exceeded"
    assert categorize(early, history).category == "worker_lost"


def test_sigterm_with_the_schedulers_words_is_a_preemption(fail):
    stderr = "slurmstepd: error: *** JOB 12 ON small-0 CANCELLED AT 2026-01-01 DUE TO PREEMPTION ***\n"
    assert categorize(fail(bash("kill -TERM $$"), stderr_tail=stderr)).category == "preempted"
    assert categorize(fail(bash("kill -TERM $$"))).category == "app_exit"


def test_a_program_without_descriptors_for_its_libraries_is_out_of_files(fail, tmp_path):
    found = categorize(fail(**program("ulimit -n 3; cat /etc/hostname", tmp_path)))
    assert (found.category, found.rule) == ("file_descriptors_exhausted", "file_descriptors_exhausted.loader")


def block_that_timed_out(lived: float) -> History:
    history = History()
    history.observe(Run(run_id="r", time=0.0, state="configured", pools=(Pool(label="small", walltime=3600),)))
    for time, state in ((0.0, "RUNNING"), (lived, "TIMEOUT")):
        history.observe(Block(run_id="r", time=time, executor="small", block="0", state=state))
    return history


@pytest.mark.parametrize(
    ("lived", "category"), [(61.0, "preempted"), (3200.0, "preempted"), (3560.0, "walltime_exceeded")]
)
def test_a_block_that_ends_well_before_its_walltime_was_taken_away(fail, lived, category):
    """Slurm's state PREEMPTED is TIMEOUT to Parsl's provider."""
    lost = fail(ManagerLost(b"m", "small-0"), block="0", time=lived)
    found = categorize(lost, block_that_timed_out(lived))
    assert found.category == category
    assert found.evidence["lived"] == lived


def test_a_preempted_block_is_paid_from_the_budget_for_what_the_task_did_not_cause(fail):
    history = block_that_timed_out(61.0)
    decision = decide(fail(ManagerLost(b"m", "small-0"), block="0", time=61.0), history, Policy())
    assert (decision.action, decision.charge) == ("retry", 0.0)
