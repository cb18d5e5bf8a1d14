"""Compiled code that crashes, and workers that are killed."""

from __future__ import annotations

from typing import Any

from benchmarks.corpus.cases import Cases, Place, Scene
from octopus_plugins.wrath import Category

CRASH, LOST = Category.native_crash, Category.worker_lost
CASES = Cases()


@CASES.python(CRASH)
def reads_address_zero() -> Any:
    """Compiled code reads address 0 in the worker: SIGSEGV."""
    import ctypes

    return ctypes.string_at(0)


@CASES.python(CRASH)
def aborts() -> Any:
    """Compiled code calls abort() in the worker: SIGABRT."""
    import os

    os.abort()


@CASES.python(CRASH)
def double_free() -> Any:
    """Compiled code frees memory twice in the worker: the C library aborts."""
    import ctypes

    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    block = libc.malloc(64)
    libc.free(ctypes.c_void_p(block))
    libc.free(ctypes.c_void_p(block))


@CASES.python(CRASH)
def beyond_a_mapped_file() -> Any:
    """Reads beyond the end of a mapped file: SIGBUS."""
    import mmap
    import os
    import tempfile

    with tempfile.TemporaryFile() as stream:
        stream.truncate(1 << 16)
        mapped = mmap.mmap(stream.fileno(), 1 << 16)
        os.ftruncate(stream.fileno(), 0)
        return mapped[1 << 15]


@CASES.python(CRASH)
def deep_recursion_in_c() -> Any:
    """Overflows the C stack: SIGSEGV."""
    import sys

    sys.setrecursionlimit(10**9)

    class Endless:
        def __getattr__(self, name: str) -> Any:
            return getattr(self, name + "x")

    import ctypes

    callback = ctypes.CFUNCTYPE(ctypes.c_int)

    def deeper() -> int:
        return callback(deeper)()

    return deeper()


@CASES.python(CRASH)
def program_crashes_in_python() -> Any:
    """A program that the task started dies of SIGSEGV, and check=True raises."""
    import subprocess
    import sys

    return subprocess.run([sys.executable, "-c", "import ctypes; ctypes.string_at(0)"], check=True)


@CASES.python(CRASH, structured=False)
def pool_worker_crashes() -> Any:
    """A process of the task's own process pool dies of SIGSEGV: BrokenProcessPool names no signal."""
    import concurrent.futures
    import ctypes
    import multiprocessing

    with concurrent.futures.ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
        return pool.submit(ctypes.string_at, 0).result()


CASES.bash("program_segfaults", CRASH, "ulimit -c 0; python3 -c 'import ctypes; ctypes.string_at(0)'", structured=True)
CASES.bash("program_aborts", CRASH, "ulimit -c 0; python3 -c 'import os; os.abort()'", structured=True)
CASES.bash(
    "c_program_divides_by_zero",
    CRASH,
    "printf 'int main(int c, char **v) { return 7 / (c - 1); }' > {scratch}/z.c && gcc -O0 {scratch}/z.c"
    " -o {scratch}/z && {scratch}/z",
    structured=True,
)
CASES.bash(
    "c_program_asserts",
    CRASH,
    "printf '#include <assert.h>\\nint main(int c, char **v) { assert(c > 4); }' > {scratch}/w.c && gcc"
    " {scratch}/w.c -o {scratch}/w && {scratch}/w",
    structured=True,
)
CASES.bash(
    "c_program_overflows_stack",
    CRASH,
    "printf 'int f(int n) { volatile char b[9999]; b[n %% 99] = n; return f(n + 1) + b[7]; } int main(void) {"
    " return f(0); }' > {scratch}/s.c && gcc -O0 {scratch}/s.c -o {scratch}/s && {scratch}/s",
    structured=True,
    stderr=False,
)
CASES.bash(
    "illegal_instruction",
    Category.hardware_mismatch,
    "printf 'int main(void) { __builtin_trap(); }' > {scratch}/t.c && gcc {scratch}/t.c -o {scratch}/t && {scratch}/t",
    structured=True,
)


@CASES.python(LOST)
def worker_killed() -> Any:
    """The worker gets SIGKILL from outside the task, far from any limit."""
    import os
    import subprocess
    import time

    subprocess.run(["kill", "-KILL", str(os.getpid())], check=True)
    time.sleep(5)


@CASES.python(LOST)
def worker_kills_itself() -> Any:
    """The task sends SIGKILL to its own worker."""
    import os
    import signal

    os.kill(os.getpid(), signal.SIGKILL)


@CASES.python(LOST)
def worker_terminated() -> Any:
    """The worker gets SIGTERM alone."""
    import os
    import signal

    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)


@CASES.python(LOST)
def worker_hung_up() -> Any:
    """The worker gets SIGHUP alone."""
    import os
    import signal

    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGHUP)


@CASES.python(LOST)
def worker_killed_after_a_while() -> Any:
    """The worker is killed when it has run for a second and samples were taken."""
    import os
    import signal
    import time

    time.sleep(1)
    os.kill(os.getpid(), signal.SIGKILL)


ALONE = Cases()


@ALONE.python(LOST)
def only_worker_killed() -> Any:
    """The only worker of a node without an agent is killed: nobody sees by which signal."""
    import os
    import signal

    os.kill(os.getpid(), signal.SIGKILL)


@ALONE.python(CRASH, structured=False)
def only_worker_segfaults() -> Any:
    """The only worker of a node without an agent dies of SIGSEGV: nobody sees by which signal."""
    import ctypes

    return ctypes.string_at(0)


SCENES = [
    Scene("crashes", CASES, [Place("crashes", workers=2)]),
    Scene("crashes_alone", ALONE, [Place(agent=False)]),
]
