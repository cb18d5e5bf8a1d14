"""Memory that runs out: refused by a limit, or taken back by the kernel."""

from __future__ import annotations

from typing import Any

from benchmarks.corpus.cases import Cases, Place, Scene
from octopus_plugins.wrath import Category

MEMORY = Category.memory_exhausted
TIGHT = Cases()


@TIGHT.python(MEMORY)
def bytes_beyond_limit() -> Any:
    """Allocates a bytearray beyond RLIMIT_AS."""
    return len(bytearray(4 << 30))


@TIGHT.python(MEMORY)
def numpy_beyond_limit() -> Any:
    """Allocates an array beyond RLIMIT_AS."""
    import numpy as np

    return np.ones((30_000, 30_000)).sum()


@TIGHT.python(MEMORY)
def list_beyond_limit() -> Any:
    """Grows a list of bytes until RLIMIT_AS."""
    return len([bytes(1 << 24) for _ in range(400)])


@TIGHT.python(MEMORY)
def pandas_beyond_limit() -> Any:
    """A cross join beyond RLIMIT_AS."""
    import numpy as np
    import pandas as pd

    frame = pd.DataFrame({"a": np.arange(30_000)})
    return frame.merge(frame, how="cross")


@TIGHT.python(MEMORY)
def arrow_beyond_limit() -> Any:
    """Allocates an Arrow buffer beyond RLIMIT_AS."""
    import pyarrow

    return pyarrow.allocate_buffer(8 << 30)


@TIGHT.python(MEMORY)
def map_beyond_limit() -> Any:
    """Maps memory beyond RLIMIT_AS."""
    import mmap

    return mmap.mmap(-1, 8 << 30)


@TIGHT.python(MEMORY)
def wrapped_memory_error() -> Any:
    """A MemoryError below a library's exception."""
    import numpy as np

    try:
        return np.zeros((200_000, 200_000))
    except MemoryError as error:
        raise RuntimeError("cannot assemble the stiffness matrix") from error


@TIGHT.python(MEMORY, structured=False)
def swallowed_memory_error() -> Any:
    """A MemoryError that a library reports as a RuntimeError of its own, without the cause."""
    try:
        return bytearray(8 << 30)
    except MemoryError:
        raise RuntimeError("unable to allocate 8589934592 bytes for the workspace") from None


@TIGHT.python(MEMORY)
def fork_beyond_limit() -> Any:
    """A list of strings that grows until RLIMIT_AS, in nested calls."""

    def build(depth: int) -> Any:
        return ["x" * (1 << 20) for _ in range(3000)] if depth == 0 else build(depth - 1)

    return build(5)


TIGHT.bash("python_program_beyond_limit", MEMORY, "python3 -c 'bytearray(8 << 30)'")
TIGHT.bash("perl_beyond_limit", MEMORY, "perl -e '$x = \"x\" x 8e9; print length $x'")
TIGHT.bash("awk_beyond_limit", MEMORY, "awk 'BEGIN { for (i = 0; ; i++) x[i] = sprintf(\"%1000000d\", i) }'")
TIGHT.bash("sort_beyond_ulimit", MEMORY, "ulimit -v 40000; sort -S 2G --parallel=1 /dev/zero")
TIGHT.bash("dd_beyond_ulimit", MEMORY, "ulimit -v 60000; dd if=/dev/zero of=/dev/null bs=4G count=1")

NATIVE = Cases()
CPP = (
    "printf '#include <vector>\\nint main() { std::vector<double> v; v.resize(3000000000ul); return v[7]; }'"
    " > {scratch}/v.cpp && g++ {scratch}/v.cpp -o {scratch}/v && (ulimit -v 500000; ulimit -c 0; {scratch}/v)"
)
NATIVE.bash("cpp_bad_alloc", MEMORY, CPP)
NATIVE.bash(
    "java_heap",
    MEMORY,
    "cd {scratch} && printf 'class Heap { public static void main(String[] a) { java.util.List<long[]> l ="
    " new java.util.ArrayList<>(); while (true) l.add(new long[1 << 20]); } }' > Heap.java"
    " && java -Xmx64m Heap.java",
)
NATIVE.bash(
    "node_heap",
    MEMORY,
    "ulimit -c 0; node --max-old-space-size=30 -e 'const x = []; for (;;) x.push(new Array(1e5).fill({a: 1}))'",
)

GROUP = Cases()


@GROUP.python(MEMORY)
def killed_in_cgroup() -> Any:
    """Fills memory in a cgroup of 700 MB: the kernel kills the worker."""
    return len([b"x" * (1 << 24) for _ in range(400)])


@GROUP.python(MEMORY)
def numpy_killed_in_cgroup() -> Any:
    """Fills an array in a cgroup of 700 MB: the kernel kills the worker."""
    import numpy as np

    return np.ones(3 * 10**8).sum()


@GROUP.python(MEMORY)
def killed_after_a_while() -> Any:
    """Grows slowly in a cgroup of 700 MB, so that samples see it, until the kernel kills the worker."""
    import time

    kept = []
    for _ in range(400):
        kept.append(b"x" * (1 << 23))
        time.sleep(0.05)
    return len(kept)


@GROUP.python(MEMORY)
def native_killed_in_cgroup() -> Any:
    """Compiled code fills memory in a cgroup of 700 MB: the kernel kills the worker."""
    import ctypes

    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    block = libc.malloc(ctypes.c_size_t(1500 << 20))
    libc.memset(ctypes.c_void_p(block), 1, ctypes.c_size_t(1500 << 20))


@GROUP.python(MEMORY)
def child_killed_in_cgroup() -> Any:
    """A program started by the task fills the cgroup: the kernel kills the program, and check=True raises."""
    import subprocess
    import sys

    return subprocess.run([sys.executable, "-c", "x = b'x' * (1500 << 20)"], check=True)


GROUP.bash("program_killed_in_cgroup", MEMORY, "python3 -c 'x = b\"x\" * (1500 << 20)'", structured=True)
GROUP.bash("perl_killed_in_cgroup", MEMORY, "perl -e '$x = \"x\" x 15e8; print length $x'", structured=True)
GROUP.bash("tail_killed_in_cgroup", MEMORY, "tail /dev/zero", structured=True, stderr=False)

ALONE = Cases()


@ALONE.python(MEMORY)
def only_worker_killed_in_cgroup() -> Any:
    """Grows in a cgroup of 450 MB on a node without an agent: the last samples stand near the limit."""
    import time

    kept = []
    for _ in range(400):
        kept.append(b"x" * (1 << 23))
        time.sleep(0.05)
    return len(kept)


SCENES = [
    Scene("tight_memory", TIGHT, [Place("tight", {"*": {"rlimits": {"AS": 2_000_000_000}}})]),
    Scene("native_memory", NATIVE),
    Scene("memory_cgroup", GROUP, [Place("group", {"*": {"memory": 700_000_000}}, workers=2)]),
    Scene("memory_cgroup_alone", ALONE, [Place("alone", {"*": {"memory": 450_000_000}}, agent=False)]),
]
