"""A run with `enable` and no broker, whose home directory is what the arguments say.

Arguments: a directory of its own, and ``passwd`` or ``no-passwd``: whether the user has an entry.
"""

import json
import logging
import pwd
import sys
from pathlib import Path

if sys.argv[2] == "no-passwd":

    def getpwuid(user):
        raise KeyError(f"getpwuid(): uid not found: {user}")

    pwd.getpwuid = getpwuid

import parsl
from parsl import python_app
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.providers import LocalProvider

from parsl_monitor import enable

warnings = []
handler = logging.Handler(logging.WARNING)
handler.emit = lambda record: warnings.append(record.getMessage())
logging.getLogger("octopus_plugins").addHandler(handler)


@python_app
def double(number):
    return 2 * number


htex = HighThroughputExecutor(
    label="htex", address="127.0.0.1", max_workers_per_node=1, provider=LocalProvider(max_blocks=1)
)
config = enable(
    Config(executors=[htex], run_dir=sys.argv[1], strategy="none", initialize_logging=False),
    octopus={"profile": "kafka", "bootstrap_servers": "127.0.0.1:1", "close_timeout": 0},
)
with parsl.load(config):
    results = [double(number).result(timeout=200) for number in range(3)]
spool = config.monitoring.octopus.spool_dir
records = sum(path.stat().st_size for path in Path(spool).rglob("*") if path.is_file())
print(json.dumps({"results": results, "warnings": warnings, "spool": str(spool), "records": records}))
