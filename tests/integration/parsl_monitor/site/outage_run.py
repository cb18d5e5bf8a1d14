"""A workflow as users run it: a script. Tells on standard output how far it is, and at the end what it came to.

    python outage_run.py '{"run_dir": …, "emitted": …, "octopus": {…}}'

Every record that it emits is noted by id in the file ``emitted`` before it goes on its way.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from typing import Any

import parsl
import workflow_apps as apps
from parsl.config import Config
from parsl.providers import LocalProvider

from octopus_plugins import hookimpl
from octopus_plugins.config import OctopusConfig
from octopus_plugins.events import Event
from octopus_plugins.plugins import Plugins
from parsl_monitor import OctopusHighThroughputExecutor, OctopusMonitoringHub, WrathRetryHandler

TASKS = 80


class Notes:
    """Writes down each record that is emitted; one ``write`` each, so that a SIGKILL leaves whole lines."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    @hookimpl
    def octopus_transform(self, event: Event) -> None:
        if event.RECORD:
            os.write(self._file, f"{event.TOPIC}\t{event.key}\t{event.id}\n".encode())


def say(**what: Any) -> None:
    print(json.dumps(what), flush=True)


def submit() -> list[Any]:
    """Tasks of about 0.1 s, every eighth of which fails: some at once for good, some after a retry."""
    futures: list[Any] = []
    for number in range(TASKS):
        if number % 16 == 7:
            futures.append(apps.look_up("omega"))
        elif number % 16 == 15:
            futures.append(apps.total(futures[number - 8]))
        else:
            futures.append(apps.double(number, seconds=0.1))
    return futures


def main() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")
    logging.getLogger("parsl").setLevel(logging.CRITICAL)
    asked = json.loads(sys.argv[1])
    plugins = Plugins()
    plugins.register(Notes(asked["emitted"]), "notes")
    executor = OctopusHighThroughputExecutor(
        label="small",
        max_workers_per_node=2,
        heartbeat_period=1,
        heartbeat_threshold=15,
        address="127.0.0.1",
        sample_period=0.2,
        node_heartbeat_period=0.5,
        provider=LocalProvider(init_blocks=1, min_blocks=1, max_blocks=1),
    )
    hub = OctopusMonitoringHub(octopus=OctopusConfig.load(**asked["octopus"]), plugins=plugins)
    config = Config(
        executors=[executor],
        monitoring=hub,
        retries=2,
        retry_handler=WrathRetryHandler(),
        strategy="none",
        strategy_period=0.5,  # the first block is started after it
        run_dir=asked["run_dir"],
        initialize_logging=False,
    )
    with parsl.load(config) as dfk:
        say(run_id=dfk.run_id)
        apps.double(0).result()  # the workers are there
        started = time.monotonic()
        outcomes = []
        for number, future in enumerate(submit()):
            error = future.exception()
            outcomes.append(future.result() if error is None else type(error).__name__)
            say(done=number + 1)
        seconds = time.monotonic() - started
        closing = time.monotonic()
    say(outcomes=outcomes, seconds=seconds, closing=time.monotonic() - closing)


if __name__ == "__main__":
    main()
