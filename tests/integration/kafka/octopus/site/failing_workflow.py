"""A workflow as users run it: a script that takes its settings from the environment. Says what it came to.

python failing_workflow.py RUN_DIR
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import parsl
import workflow_apps as apps
from parsl.config import Config
from parsl.providers import LocalProvider

from parsl_monitor import OctopusHighThroughputExecutor, OctopusMonitoringHub, WrathRetryHandler

PATIENCE = 120
"""Seconds that a loaded machine may take."""


def main(run_dir: str) -> None:
    hub = OctopusMonitoringHub()
    executor = OctopusHighThroughputExecutor(
        label="small",
        address="127.0.0.1",
        loopback_address="127.0.0.1",
        max_workers_per_node=1,
        provider=LocalProvider(init_blocks=1, min_blocks=1, max_blocks=1),
    )
    config = Config(
        executors=[executor],
        monitoring=hub,
        retries=3,
        retry_handler=WrathRetryHandler(decider="service", deadline=30),
        run_dir=run_dir,
        strategy="none",
        strategy_period=0.5,  # the first block is started after it
    )
    with parsl.load(config) as dfk:
        good = apps.double(21)
        good.result(timeout=PATIENCE)
        deadline = time.monotonic() + PATIENCE
        while not hub.service_alive():
            assert time.monotonic() < deadline, "the decider service gives no sign of life"
            time.sleep(0.05)
        bug = apps.look_up("omega")
        passing = apps.fail_until(str(Path(run_dir) / "tries"), 2)
        error = bug.exception(timeout=PATIENCE)
        told = {
            "run_id": dfk.run_id,
            "good": good.result(),
            "passing": passing.result(timeout=PATIENCE),
            "bug": repr(error),
            "ids": {"good": str(good.tid), "bug": str(bug.tid), "passing": str(passing.tid)},
        }
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
