"""A script without ``if __name__ == "__main__"``: whatever process is spawned here would run all of it again.

Arguments: a directory of its own, and the address of a broker. Executors are added while the run goes on.
"""

import json
import logging
import sys
import time
from pathlib import Path

import parsl
from parsl import python_app
from parsl.config import Config
from parsl.executors import HighThroughputExecutor, ThreadPoolExecutor
from parsl.monitoring.radios.filesystem import FilesystemRadio
from parsl.providers import LocalProvider

from parsl_monitor import enable

directory, address = Path(sys.argv[1]), sys.argv[2]
warnings = []
handler = logging.Handler(logging.WARNING)
handler.emit = lambda record: warnings.append(record.getMessage())
logging.getLogger("octopus_plugins").addHandler(handler)


def make(label):
    return HighThroughputExecutor(
        label=label, address="127.0.0.1", max_workers_per_node=1, provider=LocalProvider(max_blocks=1)
    )


@python_app
def double(number):
    return 2 * number


def on(label, number):
    return python_app(double.func, executors=[label])(number).result(timeout=200)


config = enable(
    Config(
        # Work Queue and TaskVine have such a radio by default.
        executors=[make("first"), ThreadPoolExecutor(label="files", remote_monitoring_radio=FilesystemRadio())],
        run_dir=str(directory),
        strategy="none",
        initialize_logging=False,
    ),
    octopus={"profile": "local", "bootstrap_servers": address, "spool_dir": directory / "spool"},
)
dfk = parsl.load(config)
results = []
if sys.argv[3] == "before":
    dfk.add_executors([make("later")])
results += [on("first", 1), on("files", 2)]
if sys.argv[3] == "after":
    dfk.add_executors([make("later")])
results.append(on("later", 3))
deadline = time.monotonic() + 60.0  # its report comes another way than the result
while not (nodes := config.monitoring.count_nodes("later")) and time.monotonic() < deadline:
    time.sleep(0.02)
dfk.cleanup()
print(json.dumps({"results": results, "nodes": nodes, "warnings": warnings}))
