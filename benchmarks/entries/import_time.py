"""What importing costs."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from benchmarks.figures import Figure, Options, Result, Spread
from benchmarks.pairing import in_turn

ROOT = Path(__file__).resolve().parents[2]

_STATEMENTS = {
    "nothing": "pass",
    "import octopus_plugins": "import octopus_plugins",
    "from octopus_plugins import failures": "from octopus_plugins import failures",
    "import parsl": "import parsl",
    "all of parsl_monitor": "from parsl_monitor import *",
}

_COMPARED = {
    "import octopus_plugins": "nothing",
    "from octopus_plugins import failures": "nothing",
    "import parsl": "nothing",
    "all of parsl_monitor": "import parsl",
}


def measure(options: Options) -> Result:
    """Milliseconds that imports add to a fresh Python process."""
    with tempfile.TemporaryDirectory(prefix="octopus-bench-") as bytecode:
        variants = {name: partial(_starts_per_second, statement, bytecode) for name, statement in _STATEMENTS.items()}
        for start in variants.values():
            start()  # the first one compiles and reads the files from disk
        rates = in_turn(variants, options.rounds())
    seconds = {name: [1 / rate for rate in measured] for name, measured in rates.items()}
    figures = tuple(
        Figure(f"{name}, over {under}", _differences(seconds[name], seconds[under]), "ms")
        for name, under in _COMPARED.items()
    )
    return Result("import-time", "fresh Python processes, warm disk cache", figures, (), {"seconds": seconds})


def _differences(with_it: list[float], without: list[float]) -> Spread:
    return Spread.of((a - b) * 1000 for a, b in zip(with_it, without, strict=True))


def _starts_per_second(statement: str, bytecode: str) -> float:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]),
        # Whatever the machine's own setting: a user's second start finds everything compiled.
        "PYTHONDONTWRITEBYTECODE": "",
        "PYTHONPYCACHEPREFIX": bytecode,
    }
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], env=environment, check=True)
    return 1 / (time.perf_counter() - begin)
