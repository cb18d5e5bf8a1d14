"""The Parsl configurations that ``parsl-perf`` runs; read by it as a file.

The environment says which: ``BENCH_VARIANT`` is one of those of `benchmarks.entries.parsl_config`; ``BENCH_RUN_DIR`` is
where Parsl writes; ``BENCH_WORKERS`` says how many workers, ``BENCH_TASK_SECONDS`` what each task sleeps, ``BENCH_LOG``
(0 or 1) whether Parsl writes its log.
"""

from __future__ import annotations

import os
import sys
from functools import partial

from parsl.config import Config

from benchmarks.entries.parsl_config import config as configured
from benchmarks.entries.parsl_config import sleeping


def fresh_config() -> Config:
    """The configuration of the variant asked for. Called by parsl-perf, which loads this file twice."""
    seconds = float(os.environ["BENCH_TASK_SECONDS"])
    if seconds:
        # parsl-perf has no option for what its tasks do: its app is a global of the script.
        sys.modules["__main__"].app = partial(sleeping, seconds)  # type: ignore[attr-defined]
    workers = int(os.environ["BENCH_WORKERS"])
    log = os.environ.get("BENCH_LOG", "1") == "1"
    return configured(os.environ["BENCH_VARIANT"], os.environ["BENCH_RUN_DIR"], workers, initialize_logging=log)
