"""A Parsl workflow with profile octopus, at debug level, whose task tells what a worker gets to see."""

from __future__ import annotations

import logging
import sys

import parsl
from parsl.config import Config
from parsl.providers import LocalProvider

from octopus_plugins import OctopusConfig
from parsl_monitor import OctopusHighThroughputExecutor, OctopusMonitoringHub, WrathRetryHandler


@parsl.python_app
def look_around() -> str:
    """The environment and command lines of this worker and of the processes that it came from."""
    from pathlib import Path

    seen = []
    number = "self"
    while number not in {"0", "1"} and len(seen) < 6:
        place = Path("/proc") / number
        seen.append((place / "environ").read_bytes() + (place / "cmdline").read_bytes())
        number = (place / "stat").read_text().rpartition(")")[2].split()[1]
    return repr(seen)


@parsl.python_app
def fail(config: OctopusConfig) -> None:
    raise ValueError(repr(config))


def main() -> None:
    logging.basicConfig(level=logging.DEBUG, stream=sys.stdout)
    octopus = OctopusConfig.load(sasl_password="canary-sasl-password")
    config = Config(
        executors=[
            OctopusHighThroughputExecutor(
                label="small",
                address="127.0.0.1",
                max_workers_per_node=1,
                worker_debug=True,
                provider=LocalProvider(init_blocks=1, max_blocks=1),
            )
        ],
        monitoring=OctopusMonitoringHub(octopus=octopus),
        retries=1,
        retry_handler=WrathRetryHandler(),
        run_dir=sys.argv[1],
        initialize_logging=True,
    )
    with parsl.load(config):
        print(f"WORKER {{ {look_around().result()} }}")
        print(repr(fail(octopus).exception()))


if __name__ == "__main__":
    main()
