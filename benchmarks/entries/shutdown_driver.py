"""A Parsl run whose end is timed; a process of its own.

The command line says the variant, where Parsl writes, and how many no-op tasks it does. It prints ``closing`` and waits
for the file ``go`` there, then prints the seconds that Parsl's cleanup took. The Octopus settings come from
``OCTOPUS_*``.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import parsl
from parsl import python_app

from benchmarks.entries.parsl_config import config

PATIENCE = 120.0


@python_app
def no_op() -> None:
    """What the tasks do."""


def main(variant: str, run_dir: str, amount: int) -> None:
    """Run the tasks, and end."""
    kernel = parsl.load(config(variant, run_dir, initialize_logging=False))
    try:
        for future in [no_op() for _ in range(amount)]:
            future.result(PATIENCE)
        print("closing", flush=True)
        deadline = time.monotonic() + PATIENCE
        while not Path(run_dir, "go").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
    finally:
        begin = time.perf_counter()
        kernel.cleanup()
        print(f"closed {time.perf_counter() - begin}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
