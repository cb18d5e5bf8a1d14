"""Executors whose nodes can be made to lack things, and a scheduler that can take a node away."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import sys
import time
from pathlib import Path
from typing import Any

import psutil
from parsl.jobs.states import JobState, JobStatus
from parsl.launchers.base import Launcher
from parsl.providers import LocalProvider

from benchmarks.corpus import node
from benchmarks.corpus.cases import Place
from parsl_monitor import OctopusHighThroughputExecutor

_BLOCK = re.compile(r"--block_id=(\S+)")


class CorpusLauncher(Launcher):
    """Starts each block as a node of its own, named ``{label}-{block}``."""

    def __init__(self, place: Place, scratch: str) -> None:
        super().__init__()
        self.place = place
        self.scratch = scratch

    def __call__(self, command: str, tasks_per_node: int, nodes_per_block: int, script_dir: str = "") -> str:
        """The command as it runs on its node."""
        found = _BLOCK.search(command)
        block = found.group(1) if found else "0"
        own = dict(self.place.nodes.get(block, self.place.nodes.get("*", {})))
        own.setdefault("name", f"{self.place.label}-{block}")
        beside = own.pop("beside", 0)
        words = [sys.executable, node.__file__, json.dumps(own).replace("{scratch}", self.scratch)]
        line = f"{shlex.join(words)} {command}"
        # A job that lives on when one of its nodes' managers dies, as jobs of several nodes do.
        return f"{line} & wait; sleep {beside}" if beside else line


class TinyScheduler(LocalProvider):
    """LocalProvider with what a batch scheduler does to jobs: it ends them, at their walltime or before."""

    def __init__(self, walltime: str | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.walltime = walltime
        self.ended: dict[Any, JobState] = {}
        self.begun: dict[Any, float] = {}

    @property
    def status_polling_interval(self) -> int:
        """Seconds between looks at the jobs."""
        return 1

    def submit(self, *arguments: Any, **options: Any) -> Any:
        """Start a job."""
        job = super().submit(*arguments, **options)
        self.begun[job] = time.monotonic()
        return job

    def status(self, job_ids: list[Any]) -> list[JobStatus]:
        """The jobs' states, after those that are over time were ended."""
        for job in job_ids:
            over = self.walltime and time.monotonic() - self.begun[job] > _seconds(self.walltime)
            if over and job not in self.ended:
                self.end(job, JobState.TIMEOUT)
        found = super().status(job_ids)
        return [
            JobStatus(self.ended[job], message=f"ended by the scheduler: {self.ended[job].name}")
            if job in self.ended
            else status
            for job, status in zip(job_ids, found, strict=True)
        ]

    def end(self, job: Any, state: JobState, number: int = signal.SIGTERM) -> None:
        """End a job as a scheduler does: a signal to each of its processes, SIGKILL to what is left of them."""
        self.ended[job] = state
        processes = _tree(self.resources[job]["remote_pid"])
        for process in processes:
            _send(process, number)
        _, alive = psutil.wait_procs(processes, timeout=0.5)
        for process in alive:
            _send(process, signal.SIGKILL)


def _tree(pid: Any) -> list[psutil.Process]:
    try:
        top = psutil.Process(int(pid))
        return [top, *top.children(recursive=True)]
    except psutil.Error:
        return []


def _send(process: psutil.Process, number: int) -> None:
    try:
        process.send_signal(number)
    except psutil.Error:
        return


def _seconds(walltime: str) -> int:
    hours, minutes, seconds = (int(part) for part in walltime.split(":"))
    return hours * 3600 + minutes * 60 + seconds


def executor(place: Place, scratch: Path) -> OctopusHighThroughputExecutor:
    """An observed executor with the place's nodes."""
    blocks = place.blocks
    provider = {"init_blocks": blocks, "min_blocks": blocks, "max_blocks": blocks, **place.provider}
    return OctopusHighThroughputExecutor(
        label=place.label,
        address="127.0.0.1",
        loopback_address="127.0.0.1",
        max_workers_per_node=place.workers,
        cores_per_worker=0.01,
        heartbeat_period=1,
        heartbeat_threshold=place.threshold,
        sample_period=0.1,
        node_heartbeat_period=0.5,
        node_agent=place.agent,
        provider=TinyScheduler(place.walltime, launcher=CorpusLauncher(place, os.fspath(scratch)), **provider),
        **{"block_error_handler": False, **place.options},
    )
