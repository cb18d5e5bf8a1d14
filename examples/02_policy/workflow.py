"""Two executors, a ladder from the small one to the large one, and a policy of one's own."""

import sys
from pathlib import Path

import parsl
from parsl.config import Config
from parsl.providers import LocalProvider

from parsl_monitor import OctopusHighThroughputExecutor, OctopusMonitoringHub, WrathRetryHandler

POLICY = Path(__file__).with_name("policy.toml")


@parsl.python_app(executors=["small"])
def fill(megabytes):
    block = bytearray(megabytes << 20)
    return len(block) >> 20


def executor(label, worker_init=""):
    return OctopusHighThroughputExecutor(
        label=label,
        address="127.0.0.1",
        max_workers_per_node=1,
        provider=LocalProvider(init_blocks=1, max_blocks=1, worker_init=worker_init),
    )


def main(mode):
    config = Config(
        executors=[
            executor("small", worker_init="ulimit -v 1500000"),  # 1.5 GB of address space per process
            executor("large"),
        ],
        monitoring=OctopusMonitoringHub(),
        retries=3,
        retry_handler=WrathRetryHandler(POLICY, mode=mode),
        strategy="none",
    )
    with parsl.load(config) as dfk:
        print("run", dfk.run_id)
        future = fill(2000)
        if future.exception() is None:
            print("filled", future.result(), "MB")
        else:
            print("failed:", repr(future.exception()))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "active")
