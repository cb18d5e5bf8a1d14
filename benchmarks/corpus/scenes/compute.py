"""What Globus Compute's SDK raises: the remote traceback as text, in its own exception class."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.corpus.cases import Case, Cases, Scene
from octopus_plugins.wrath import Category

CASES = Cases()

# What is run in a Python of its own; its real traceback becomes the text.
_REMOTE: tuple[tuple[str, Category, bool, str], ...] = (
    ("memory", Category.memory_exhausted, True, "bytearray(1 << 62)"),
    ("numpy_memory", Category.memory_exhausted, True, "import numpy; numpy.ones((10**7, 10**8))"),
    ("module", Category.module_missing, True, "import octopus_no_such_module"),
    ("zero", Category.numerical_error, True, "1 / 0"),
    ("name", Category.code_error, True, "print(undefined)"),
    ("key", Category.code_error, True, "{}['x']"),
    ("file", Category.bad_input, True, "open('/no/such/file')"),
    ("disk", Category.disk_full, True, "open('/dev/full', 'wb', buffering=0).write(b'x')"),
    ("refused", Category.network_unreachable, True, "import socket; socket.create_connection(('127.0.0.1', 9))"),
    ("library", Category.library_missing, True, "import ctypes; ctypes.CDLL('liboctopusabsent.so.1')"),
    ("program", Category.executable_missing, True, "import subprocess; subprocess.run(['octopus-absent'])"),
    ("matrix", Category.numerical_error, True, "import numpy; numpy.linalg.inv(numpy.zeros((2, 2)))"),
    ("pickle", Category.serialization, True, "import pickle; pickle.dumps(lambda: 1)"),
    (
        "wrapped",
        Category.bad_input,
        True,
        "\ntry:\n open('/no/such/mesh')\nexcept OSError as e:\n raise RuntimeError('no mesh') from e",
    ),
    (
        "worker",
        Category.worker_lost,
        True,
        "from parsl.executors.high_throughput.errors import WorkerLost; raise WorkerLost(0, 'node-7')",
    ),
    (
        "manager",
        Category.manager_lost,
        True,
        "from parsl.executors.high_throughput.errors import ManagerLost; raise ManagerLost(b'6f1c', 'node-7')",
    ),
    ("bash", Category.app_exit, True, "import subprocess; subprocess.run(['false'], check=True)"),
    ("walltime", Category.walltime_exceeded, True, "import subprocess; subprocess.run(['sleep', '9'], timeout=0.1)"),
)


def _case(name: str, category: Category, structured: bool, code: str) -> Case:
    def remote() -> Any:
        import subprocess
        import sys

        from globus_compute_sdk.errors import TaskExecutionFailed

        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        raise TaskExecutionFailed(done.stderr)

    remote.__name__ = f"compute_{name}"
    start: Callable[[Any], Any] = lambda lab: lab.python(remote)  # noqa: E731
    made = f"`{code.strip()}` in a Python of its own, its traceback in the SDK's TaskExecutionFailed"
    return Case(f"compute_{name}", category, structured, made, start)


CASES.extend(_case(*remote) for remote in _REMOTE)


@CASES.python(Category.serialization)
def compute_result_too_large() -> Any:
    """The SDK's own exception for a result larger than Globus Compute carries."""
    from globus_compute_sdk.errors import MaxResultSizeExceeded

    raise MaxResultSizeExceeded(20_000_000, 10_485_760)


SCENES = [Scene("compute", CASES)]
