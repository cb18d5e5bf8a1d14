"""The end of a run waits for nothing that will not come."""

from __future__ import annotations

import time
from pathlib import Path

import parsl
from parsl.config import Config
from parsl.executors import ThreadPoolExecutor

from parsl_monitor import enable

RUNS = 5
SECONDS = 0.4
"""What the quickest of them may take to end; all of what used to be waited took a second. Others share the machine."""


@parsl.python_app
def one() -> int:
    return 1


def seconds_of_cleanup(run_dir: Path) -> float:
    config = Config(executors=[ThreadPoolExecutor()], run_dir=str(run_dir), initialize_logging=False)
    with parsl.load(enable(config)):
        assert one().result(timeout=60) == 1
        begun = time.monotonic()
    return time.monotonic() - begun


def test_a_run_without_a_broker_ends_at_once(tmp_path: Path) -> None:
    assert min(seconds_of_cleanup(tmp_path) for _ in range(RUNS)) < SECONDS
