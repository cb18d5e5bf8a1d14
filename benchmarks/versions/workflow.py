"""A small workflow with `enable`: tasks that end well, one that fails, one that is retried. Prints what became of it.

There is no ``if __name__ == "__main__"`` on purpose: a process that is spawned somewhere would run all of it again.
Arguments: a directory of its own, and ``encrypted`` or ``plain``.
"""

import json
import sys
import time
from pathlib import Path

import parsl
from parsl import python_app
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.providers import LocalProvider

from parsl_monitor import enable

DIRECTORY = Path(sys.argv[1])
ENCRYPTED = sys.argv[2] == "encrypted"


@python_app
def double(number):
    return 2 * number


@python_app
def fail():
    raise ValueError("as it should")


@python_app
def succeed_at_second_try(marker):
    from pathlib import Path

    if not Path(marker).exists():
        Path(marker).touch()
        raise OSError("the first time")
    return "second"


htex = HighThroughputExecutor(
    label="htex", address="127.0.0.1", max_workers_per_node=2, encrypted=ENCRYPTED, provider=LocalProvider(max_blocks=1)
)
config = enable(
    Config(executors=[htex], retries=1, run_dir=str(DIRECTORY / "runinfo"), strategy="none", strategy_period=0.5),
    octopus={
        "profile": "kafka",
        "bootstrap_servers": "127.0.0.1:1",
        "spool_dir": DIRECTORY / "spool",
        "close_timeout": 0,
    },
)
parsl.load(config)
futures = [double(number) for number in range(20)]
failing, retried = fail(), succeed_at_second_try(str(DIRECTORY / "marker"))
deadline = time.monotonic() + 30.0  # its report comes another way than results
while not config.monitoring.count_nodes("htex") and time.monotonic() < deadline:
    time.sleep(0.02)
outcome = {
    "version": parsl.__version__,
    "doubled": [future.result(timeout=100) for future in futures] == [2 * number for number in range(20)],
    "failed": type(failing.exception(timeout=100)).__name__,
    "retried": retried.result(timeout=100),
    "nodes": config.monitoring.count_nodes("htex"),
}
parsl.dfk().cleanup()
parsl.clear()
outcome["spooled"] = sum(path.stat().st_size for path in (DIRECTORY / "spool").rglob("*") if path.is_file())
print(json.dumps(outcome))
