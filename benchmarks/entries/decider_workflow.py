"""The workflow of the entry ``decider``: short tasks in a steady flow, of which every fourth fails once."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import parsl
from parsl import python_app
from parsl.config import Config
from parsl.launchers import SimpleLauncher
from parsl.providers import LocalProvider

from parsl_monitor import OctopusHighThroughputExecutor, OctopusMonitoringHub, WrathRetryHandler

PERIOD = 0.1
"""Seconds between two submissions."""

FAILS_EVERY = 4
POLICY = {"name": "at once", "categories": {"code_error": {"initial_interval": 0.0, "maximum_attempts": 3}}}


@python_app
def work() -> None:
    """A short task that ends well."""
    import time

    time.sleep(0.01)


@python_app
def fail_once(marker: str) -> None:
    """A task whose first try fails."""
    from pathlib import Path

    if not Path(marker).exists():
        Path(marker).touch()
        raise RuntimeError("the first try always fails")


def main(decider: str, deadline: float, seconds: float, run_dir: Path) -> None:
    """Run the workflow; prints its run's id, and ``half`` when half of it is over."""
    executor = OctopusHighThroughputExecutor(
        label="pool",
        max_workers_per_node=2,
        address="127.0.0.1",
        loopback_address="127.0.0.1",
        provider=LocalProvider(init_blocks=1, min_blocks=1, max_blocks=1, launcher=SimpleLauncher()),
    )
    hub = OctopusMonitoringHub(workflow_name="decider")
    config = Config(
        executors=[executor],
        monitoring=hub,
        retries=3,
        retry_handler=WrathRetryHandler(POLICY, decider=decider, deadline=deadline),
        strategy="none",
        run_dir=str(run_dir),
        initialize_logging=False,
    )
    with parsl.load(config) as dfk:
        for future in [work() for _ in range(8)]:
            future.result(timeout=60)
        patience = time.monotonic() + 30
        while decider == "service" and not hub.service_alive():
            if time.monotonic() > patience:
                raise RuntimeError("no heartbeat of the decider service arrived within 30 s")
            time.sleep(0.05)
        print(f"run {dfk.run_id}", flush=True)
        futures, begin, half = [], time.monotonic(), False
        for number in range(int(seconds / PERIOD)):
            time.sleep(max(begin + number * PERIOD - time.monotonic(), 0))
            failing = number % FAILS_EVERY == 0
            futures.append(fail_once(str(run_dir / f"tried-{number}")) if failing else work())
            if not half and number * PERIOD > seconds / 2:
                half = True
                print("half", flush=True)
        for future in futures:
            future.result(timeout=60)
        print("done", flush=True)
        sys.stdin.readline()  # until the broker is back


if __name__ == "__main__":
    os.environ.setdefault("OCTOPUS_PROFILE", "local")
    main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]), Path(sys.argv[4]))
