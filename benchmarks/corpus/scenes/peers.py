"""Other processes of the task's own parallel program that die or no longer answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.corpus.cases import Cases, Place, Scene
from benchmarks.corpus.needs import needs
from octopus_plugins.wrath import Category

CASES = Cases()
PEER, CRASH = Category.peer_lost, Category.native_crash


def _killed(*_: Any) -> None:
    import os
    import signal

    os.kill(os.getpid(), signal.SIGKILL)


def _crashes(*_: Any) -> None:
    import ctypes

    ctypes.string_at(0)


def _grows(*_: Any) -> None:
    kept = []
    while True:
        kept.append(b"x" * (1 << 24))


def _exit_code(target: Any) -> int:
    import multiprocessing

    process = multiprocessing.get_context("fork").Process(target=target)
    process.start()
    process.join()
    return process.exitcode or 0


@CASES.python(PEER, structured=False)
def rank_killed() -> Any:
    """A child of multiprocessing is killed from outside; the parent reports its exit code in words."""
    raise RuntimeError(f"rank 1 terminated unexpectedly (exit code {_exit_code(_killed)})")


@CASES.python(CRASH, structured=False)
def rank_segfaults() -> Any:
    """A child of multiprocessing dies of SIGSEGV; the parent reports its exit code in words."""
    raise RuntimeError(f"rank 1 terminated unexpectedly (exit code {_exit_code(_crashes)})")


@CASES.python(CRASH, structured=False)
def rank_segfaults_by_name() -> Any:
    """A child of multiprocessing dies of SIGSEGV; the parent reports the signal by its name."""
    import signal

    name = signal.Signals(-_exit_code(_crashes)).name
    raise RuntimeError(f"process 0 terminated with signal {name}")


@CASES.python(PEER)
def pool_worker_killed() -> Any:
    """A process of the task's own process pool is killed from outside: BrokenProcessPool."""
    import concurrent.futures
    import multiprocessing

    with concurrent.futures.ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
        return pool.submit(_killed).result()


@CASES.python(PEER, structured=False)
def pipe_of_a_killed_peer() -> Any:
    """Receives from a child of multiprocessing that is killed: EOFError."""
    import multiprocessing

    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    process = context.Process(target=_killed)
    process.start()
    there.close()
    try:
        return here.recv()
    finally:
        process.join()


@CASES.python(PEER, structured=False)
def manager_of_multiprocessing_killed() -> Any:
    """Uses a dict of multiprocessing's manager process after that was killed."""
    import multiprocessing

    manager = multiprocessing.get_context("fork").Manager()
    shared = manager.dict()
    process = manager._process
    process.kill()
    process.join()
    shared["energy"] = 1.0


@CASES.python(PEER, structured=False)
def barrier_without_a_peer() -> Any:
    """Waits at a barrier for a child that was killed: the barrier breaks."""
    import multiprocessing

    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(2)
    process = context.Process(target=_killed)
    process.start()
    process.join()
    return barrier.wait(timeout=1)


@CASES.python(PEER, structured=False)
def ring_neighbour_silent() -> Any:
    """Waits on a queue for a child that is stopped, and reports it in words."""
    import multiprocessing
    import os
    import queue
    import signal
    import time

    context = multiprocessing.get_context("fork")
    results = context.Queue()
    process = context.Process(target=time.sleep, args=(60,))
    process.start()
    assert process.pid is not None
    os.kill(process.pid, signal.SIGSTOP)
    try:
        return results.get(timeout=1)
    except queue.Empty:
        raise RuntimeError("no heartbeat from rank 1 for 1 s: peer is not responding") from None
    finally:
        process.kill()
        process.join()


TIGHT = Cases()


@TIGHT.python(Category.memory_exhausted, structured=True)
def rank_killed_for_memory() -> Any:
    """A child of multiprocessing grows in a cgroup of 450 MB; the kernel kills it; the parent reports it in words."""
    import time

    code = _exit_code(_grows)
    time.sleep(1.5)  # the node's next heartbeat has the kernel's count
    raise RuntimeError(f"rank 1 terminated unexpectedly (exit code {code})")


MPI = Cases()
RANK = """\
import ctypes, os, signal, sys
mpi = ctypes.CDLL("libmpi.so.40", ctypes.RTLD_GLOBAL)
mpi.MPI_Init(None, None)
world = ctypes.c_void_p(ctypes.addressof(ctypes.c_char.in_dll(mpi, "ompi_mpi_comm_world")))
rank = ctypes.c_int()
mpi.MPI_Comm_rank(world, ctypes.byref(rank))
if rank.value == 1:
    {ends}
mpi.MPI_Barrier(world)
mpi.MPI_Finalize()
"""
ENDS = {
    "killed": "os.kill(os.getpid(), signal.SIGKILL)",
    "terminated": "os.kill(os.getpid(), signal.SIGTERM)",
    "crashes": "ctypes.string_at(0)",
    "aborts": "mpi.MPI_Abort(world, 7)",
    "exits": "os._exit(3)",
}
MPIRUN = "mpirun --allow-run-as-root --oversubscribe -n 2"


def _write_ranks(scratch: Path) -> None:
    needs(mpirun="openmpi-bin")(scratch)
    for name, ends in ENDS.items():
        (scratch / f"{name}.py").write_text(RANK.format(ends=ends))


for _name, _category, _made in (
    ("killed", PEER, "one of two MPI ranks gets SIGKILL from outside"),
    ("terminated", PEER, "one of two MPI ranks gets SIGTERM from outside"),
    ("crashes", CRASH, "one of two MPI ranks dies of SIGSEGV"),
    ("aborts", Category.app_exit, "one of two MPI ranks calls MPI_Abort with the code 7"),
    ("exits", Category.app_exit, "one of two MPI ranks exits with the code 3 before the others have finished"),
):
    MPI.bash(f"mpi_rank_{_name}", _category, f"{MPIRUN} python3 {{scratch}}/{_name}.py", made=_made)

MPI.bash(
    "mpi_node_unknown",
    Category.network_unreachable,
    "mpirun --allow-run-as-root -H octopus.invalid -n 1 hostname",
    made="a rank is to run on a host whose name does not exist",
)
MPI.bash(
    "mpi_program_missing", Category.executable_missing, f"{MPIRUN} octopus-absent", made="the ranks' program is missing"
)

SCENES = [
    Scene("peers", CASES),
    Scene("peers_memory", TIGHT, [Place("tight", {"*": {"memory": 450 << 20}})]),
    Scene("mpi", MPI, prepare=_write_ranks),
]
