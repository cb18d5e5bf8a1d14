"""A workflow that is killed leaves nothing behind for long, and what it had queued runs."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from . import processes

SCRIPT = """
import sys
import parsl
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.providers import LocalProvider
from parsl_monitor import enable

@parsl.python_app
def mark(directory, number):
    import pathlib, time
    pathlib.Path(directory, f"begun-{number}").touch()
    time.sleep(1)
    pathlib.Path(directory, f"done-{number}").touch()

if __name__ == "__main__":
    directory = sys.argv[1]
    executor = HighThroughputExecutor(
        label="small", max_workers_per_node=1, encrypted=False, address="127.0.0.1",
        heartbeat_period=1, heartbeat_threshold=4,
        provider=LocalProvider(init_blocks=1, min_blocks=1, max_blocks=1),
    )
    config = Config(executors=[executor], run_dir=f"{directory}/runs", strategy="none")
    with parsl.load(enable(config)):
        print(executor.interchange_proc.pid, flush=True)
        for future in [mark(directory, number) for number in range(3)]:
            future.result()
"""


def wait_for(file: Path, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not file.exists():
        assert time.monotonic() < deadline, f"no {file.name}"
        time.sleep(0.05)


@pytest.mark.usefixtures("surroundings")
def test_a_killed_workflow_leaves_no_process_and_its_tasks_run(tmp_path: Path) -> None:
    script = tmp_path / "workflow.py"
    script.write_text(SCRIPT)
    workflow = subprocess.Popen([sys.executable, str(script), str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert workflow.stdout is not None
    interchange = psutil.Process(int(workflow.stdout.readline()))
    wait_for(tmp_path / "begun-0")
    workflow.send_signal(signal.SIGKILL)
    workflow.wait()
    workflow.stdout.close()
    for number in range(3):
        wait_for(tmp_path / f"done-{number}")
    interchange.wait(20)
    processes.wait_until_gone(tmp_path / "runs")
