"""Open files, disks, processes and file systems that give out."""

# ruff: noqa: PTH103, PTH106, PTH109, PTH123 - as users write it
from __future__ import annotations

from typing import Any

from benchmarks.corpus.cases import Cases, Place, Scene
from octopus_plugins.wrath import Category

FILES, DISK = Category.file_descriptors_exhausted, Category.disk_full
FORKS, STORE = Category.process_limit, Category.filesystem_error
FULL, READ_ONLY = "/tmp/octopus-corpus-full", "/tmp/octopus-corpus-ro"

FEW = Cases()


@FEW.python(FILES)
def opens_many_files() -> Any:
    """Opens files without end on a node with a small RLIMIT_NOFILE."""
    return [open("/dev/null") for _ in range(1000)]


@FEW.python(FILES)
def opens_many_sockets() -> Any:
    """Opens sockets without end on a node with a small RLIMIT_NOFILE."""
    import socket

    return len([socket.socket() for _ in range(1000)])


@FEW.python(FILES)
def maps_many_files() -> Any:
    """Opens memory maps without end with NumPy, below a library's exception."""
    import numpy as np

    try:
        return [np.memmap("/etc/passwd", mode="r") for _ in range(1)] + [open("/etc/passwd") for _ in range(1000)]
    except OSError as error:
        raise RuntimeError("cannot open shard 817") from error


@FEW.python(FILES)
def starts_with_many_pipes() -> Any:
    """Keeps pipes open until no further program can be started."""
    import subprocess

    kept = []
    while len(kept) < 1000:
        kept.append(subprocess.Popen(["true"], stdin=subprocess.PIPE, stdout=subprocess.PIPE))
    return len(kept)


@FEW.python(FILES)
def imports_with_no_files_left() -> Any:
    """Imports a package when all descriptors are in use."""
    import os

    held = []
    try:
        while True:
            held.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        pass
    try:
        import wave

        return wave
    finally:
        for descriptor in held:
            os.close(descriptor)


FEW.bash("program_opens_many_files", FILES, "python3 -c '[open(\"/dev/null\") for _ in range(1000)]'")
FEW.bash("program_without_descriptors", FILES, "ulimit -n 3; cat /etc/hostname")
FEW.bash(
    "perl_opens_many_files",
    FILES,
    'perl -e \'for (1..1000) { open($f[$_], "<", "/dev/null") or die "shard $_: $!\\n" }\'',
)

DISKS = Cases()


@DISKS.python(DISK)
def fills_the_disk() -> Any:
    """Writes more than a small tmpfs holds."""
    with open(f"{FULL}/a.dat", "wb") as stream:
        for _ in range(100):
            stream.write(bytes(1 << 16))


@DISKS.python(DISK)
def numpy_fills_the_disk() -> Any:
    """Saves an array larger than a small tmpfs."""
    import numpy as np

    np.save(f"{FULL}/b.npy", np.ones(10**6))


@DISKS.python(DISK)
def pandas_fills_the_disk() -> Any:
    """Writes a table larger than a small tmpfs."""
    import numpy as np
    import pandas as pd

    pd.DataFrame({"a": np.arange(10**6)}).to_csv(f"{FULL}/c.csv")


@DISKS.python(DISK)
def arrow_fills_the_disk() -> Any:
    """Writes a Parquet file larger than a small tmpfs."""
    import numpy as np
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table({"a": np.random.default_rng(0).random(10**6)}), f"{FULL}/d.parquet")


@DISKS.python(DISK)
def sqlite_fills_the_disk() -> Any:
    """Fills an SQLite database on a small tmpfs."""
    import sqlite3

    with sqlite3.connect(f"{FULL}/e.db") as database:
        database.execute("CREATE TABLE t (x BLOB)")
        for _ in range(100):
            database.execute("INSERT INTO t VALUES (randomblob(65536))")


@DISKS.python(DISK)
def wrapped_full_disk() -> Any:
    """A full disk below a library's exception."""
    try:
        with open("/dev/full", "wb", buffering=0) as stream:
            stream.write(b"x")
    except OSError as error:
        raise RuntimeError("checkpoint 3 was not written") from error


@DISKS.python(DISK, structured=False)
def swallowed_full_disk() -> Any:
    """A full disk that a library reports as a RuntimeError of its own, without the cause."""
    try:
        with open("/dev/full", "wb", buffering=0) as stream:
            stream.write(b"x")
    except OSError as error:
        raise RuntimeError(f"unable to flush HDF5 dataset (write failed: {error.strerror})") from None


@DISKS.python(DISK)
def file_too_large() -> Any:
    """Writes a file beyond RLIMIT_FSIZE: Python ignores SIGXFSZ and gets EFBIG."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, before[1]))
    try:
        with open("/tmp/octopus-corpus-large", "wb") as stream:
            stream.write(bytes(1 << 20))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@DISKS.python(DISK)
def copies_to_a_full_disk() -> Any:
    """Copies a file to a full tmpfs with shutil."""
    import shutil

    return shutil.copy("/usr/bin/git", f"{FULL}/git")


DISKS.bash("dd_fills_the_disk", DISK, f"dd if=/dev/zero of={FULL}/f.dat bs=1M count=9")
DISKS.bash("cp_to_full_disk", DISK, f"cp /usr/bin/git {FULL}/g")
DISKS.bash("tar_fills_the_disk", DISK, f"tar cf {FULL}/h.tar /usr/include")
DISKS.bash("echo_to_full_device", DISK, "echo result > /dev/full")
DISKS.bash(
    "sqlite_program_fills_the_disk",
    DISK,
    f"sqlite3 {FULL}/i.db 'create table t(x); insert into t values (zeroblob(9000000))'",
)
DISKS.bash("python_program_fills_the_disk", DISK, f'python3 -c \'open("{FULL}/j", "wb").write(bytes(9 << 20))\'')
DISKS.bash("program_beyond_file_size", DISK, "ulimit -f 8; cat /dev/zero > {scratch}/k.dat", structured=True)
DISKS.bash(
    "program_beyond_file_size_unseen",
    DISK,
    "ulimit -f 8; head -c 1000000 /dev/zero > {scratch}/l.dat",
    structured=True,
    stderr=False,
)

FORK = Cases()


@FORK.python(FORKS)
def starts_many_programs() -> Any:
    """Starts programs without end on a node with a small pids cgroup."""
    import subprocess

    started = []
    try:
        for _ in range(200):
            started.append(subprocess.Popen(["sleep", "5"]))
    finally:
        for process in started:
            process.kill()
            process.wait()


@FORK.python(FORKS, structured=False)
def starts_many_threads() -> Any:
    """Starts threads without end on a node with a small pids cgroup."""
    import threading

    done = threading.Event()
    try:
        for _ in range(200):
            threading.Thread(target=done.wait, args=(5,), daemon=True).start()
    finally:
        done.set()


@FORK.python(FORKS)
def forks_many() -> Any:
    """Forks without end on a node with a small pids cgroup."""
    import os
    import signal
    import warnings

    warnings.simplefilter("ignore")
    children = []
    try:
        for _ in range(200):
            child = os.fork()
            if child == 0:
                signal.pause()
            children.append(child)
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


@FORK.python(FORKS)
def pool_of_many_processes() -> Any:
    """Starts a large multiprocessing pool on a node with a small pids cgroup."""
    import multiprocessing

    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=lambda: __import__("time").sleep(3)) for _ in range(200)]
    started = []
    try:
        for process in processes:
            process.start()
            started.append(process)
    finally:
        for process in started:
            process.kill()
            process.join()


FORK.bash(
    "perl_forks_many",
    FORKS,
    "perl -e 'for (1..200) { $p = fork(); defined $p or die \"fork failed: $!\\n\"; exit(sleep 2) unless $p }'",
)
# The shell tries for half a minute before it gives up.
FORK.bash("program_forks_many", FORKS, "for i in $(seq 200); do sleep 60 & done; wait")

STORES = Cases()


@STORES.python(STORE)
def writes_read_only() -> Any:
    """Writes to a file system that is mounted read-only."""
    with open(f"{READ_ONLY}/x", "w") as stream:
        stream.write("x")


@STORES.python(STORE)
def numpy_writes_read_only() -> Any:
    """Saves an array to a read-only file system, below a library's exception."""
    import numpy as np

    try:
        np.save(f"{READ_ONLY}/x.npy", np.zeros(3))
    except OSError as error:
        raise RuntimeError("cannot save the state") from error


@STORES.python(STORE)
def makes_read_only_directory() -> Any:
    """Makes a directory on a read-only file system."""
    import os

    os.makedirs(f"{READ_ONLY}/a/b")


@STORES.python(STORE)
def input_output_error() -> Any:
    """Reads where the kernel answers EIO."""
    import os

    descriptor = os.open("/proc/self/mem", os.O_RDONLY)
    try:
        return os.pread(descriptor, 1, 0)
    finally:
        os.close(descriptor)


@STORES.python(STORE)
def removed_directory() -> Any:
    """Works in a directory that was removed under it, on another file system (ESTALE's local kin, ENOENT of getcwd)."""
    import os
    import tempfile

    before = os.getcwd()
    gone = tempfile.mkdtemp()
    os.chdir(gone)
    os.rmdir(gone)
    try:
        return os.getcwd()
    finally:
        os.chdir(before)


STORES.bash("touch_read_only", STORE, f"touch {READ_ONLY}/y")
STORES.bash("cp_read_only", STORE, f"cp /etc/hostname {READ_ONLY}/z")
STORES.bash("dd_input_output_error", STORE, "dd if=/proc/self/mem of=/dev/null bs=1 count=1")
STORES.bash("python_program_read_only", STORE, f'python3 -c \'open("{READ_ONLY}/w", "w")\'')

SCENES = [
    Scene("few_files", FEW, [Place("few", {"*": {"rlimits": {"NOFILE": 96}}})]),
    Scene("full_disk", DISKS, [Place("full", {"*": {"tmpfs": {FULL: "size=1m"}}})]),
    Scene("few_processes", FORK, [Place("forks", {"*": {"processes": 60}})]),
    Scene("read_only", STORES, [Place("readonly", {"*": {"tmpfs": {READ_ONLY: "ro,size=1m"}}})]),
]
