"""Locks, files, ports and mount points that another process holds."""

# ruff: noqa: PTH123, PTH106, SIM115 - as users write it
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.corpus.cases import Cases, Place, Scene
from benchmarks.corpus.needs import needs
from octopus_plugins.wrath import Category

CASES = Cases()
BUSY = Category.resource_busy
MOUNT = "/tmp/octopus-corpus-busy"


def _until_it_ends(future: Any, release: Callable[[], Any]) -> Any:
    """Hold something on the submit side, which is another process than the worker, until the task has ended."""
    future.add_done_callback(lambda _: release())
    return future


def _locked_database(lab: Any, name: str) -> Any:
    """A database of which the submit side holds the exclusive lock."""
    import sqlite3

    holder = sqlite3.connect(lab.scratch / name, check_same_thread=False, isolation_level=None)
    holder.execute("CREATE TABLE t (x)")
    holder.execute("BEGIN EXCLUSIVE")
    return holder


@CASES.workflow(BUSY)
def sqlite_locked(lab: Any) -> Any:
    """Writes to an SQLite database that another process holds locked."""
    holder = _locked_database(lab, "a.db")
    return _until_it_ends(lab.python(_inserts, str(lab.scratch / "a.db")), holder.close)


def _inserts(path: str) -> Any:
    import sqlite3

    with sqlite3.connect(path, timeout=0.2) as database:
        return database.execute("INSERT INTO t VALUES (1)")


@CASES.workflow(BUSY)
def sqlalchemy_locked(lab: Any) -> Any:
    """Writes with SQLAlchemy to an SQLite database that another process holds locked."""
    holder = _locked_database(lab, "b.db")
    return _until_it_ends(lab.python(_inserts_with_sqlalchemy, str(lab.scratch / "b.db")), holder.close)


def _inserts_with_sqlalchemy(path: str) -> Any:
    import sqlalchemy

    engine = sqlalchemy.create_engine(f"sqlite:///{path}", connect_args={"timeout": 0.2})
    with engine.begin() as connection:
        return connection.execute(sqlalchemy.text("INSERT INTO t VALUES (1)"))


@CASES.workflow(BUSY, structured=False)
def sqlite_program_locked(lab: Any) -> Any:
    """Bash app: the program sqlite3 writes to a database that another process holds locked."""
    holder = _locked_database(lab, "c.db")
    command = "sqlite3 {scratch}/c.db 'INSERT INTO t VALUES (1)'"
    return _until_it_ends(lab.bash("sqlite_program_locked", command), holder.close)


def _flocked(lab: Any, name: str) -> Any:
    import fcntl

    stream = open(lab.scratch / name, "w")
    fcntl.flock(stream, fcntl.LOCK_EX)
    return stream


@CASES.workflow(BUSY)
def flock_held(lab: Any) -> Any:
    """Takes a lock of flock(2) that another process holds, without waiting: EWOULDBLOCK."""
    holder = _flocked(lab, "d.lock")
    return _until_it_ends(lab.python(_takes_flock, str(lab.scratch / "d.lock")), holder.close)


def _takes_flock(path: str) -> None:
    import fcntl

    with open(path, "w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)


@CASES.workflow(BUSY)
def record_lock_held(lab: Any) -> Any:
    """Takes a lock of fcntl(2) that another process holds, without waiting, below a library's exception."""
    import fcntl

    holder = open(lab.scratch / "e.h5", "w")
    fcntl.lockf(holder, fcntl.LOCK_EX)
    return _until_it_ends(lab.python(_takes_record_lock, str(lab.scratch / "e.h5")), holder.close)


def _takes_record_lock(path: str) -> None:
    import fcntl

    with open(path, "r+") as stream:
        try:
            fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise RuntimeError("cannot open the store for writing") from error


@CASES.workflow(BUSY)
def filelock_times_out(lab: Any) -> Any:
    """Waits with the package filelock for a lock that another process holds."""
    holder = _flocked(lab, "f.lock")
    return _until_it_ends(lab.python(_takes_filelock, str(lab.scratch / "f.lock")), holder.close)


def _takes_filelock(path: str) -> None:
    import filelock

    with filelock.FileLock(path, timeout=0.3):
        raise AssertionError("the lock was free")


@CASES.workflow(BUSY, structured=False)
def flock_program_says_so(lab: Any) -> Any:
    """Bash app: flock -n finds the lock held, and the script says so."""
    holder = _flocked(lab, "g.lock")
    command = "exec 9>{scratch}/g.lock; flock -n 9 || { echo 'another instance is already running' >&2; exit 1; }"
    return _until_it_ends(lab.bash("flock_program_says_so", command), holder.close)


@CASES.workflow(BUSY, structured=False)
def flock_program_verbose(lab: Any) -> Any:
    """Bash app: flock --verbose -n finds the lock held."""
    holder = _flocked(lab, "h.lock")
    return _until_it_ends(
        lab.bash("flock_program_verbose", "flock --verbose -n {scratch}/h.lock sort /etc/hostname"), holder.close
    )


@CASES.python(BUSY, "{scratch}/deadlock")
def locks_in_a_circle(path: str) -> Any:
    """Two processes take two locks of fcntl(2) in opposite order: EDEADLK."""
    import fcntl
    import subprocess
    import sys
    import time

    code = (
        "import fcntl, sys; b = open(sys.argv[1] + '.b', 'w'); fcntl.lockf(b, fcntl.LOCK_EX); print(flush=True);"
        "a = open(sys.argv[1] + '.a', 'w'); fcntl.lockf(a, fcntl.LOCK_EX)"
    )
    with open(path + ".a", "w") as first, open(path + ".b", "w") as second:
        fcntl.lockf(first, fcntl.LOCK_EX)
        other = subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE)
        try:
            assert other.stdout is not None
            other.stdout.readline()
            time.sleep(0.5)
            fcntl.lockf(second, fcntl.LOCK_EX)
        finally:
            other.kill()
            other.wait()


@CASES.python(BUSY)
def pipe_is_full() -> Any:
    """Writes to a full pipe that does not block, whose reader is another process and asleep: EAGAIN."""
    import os
    import subprocess

    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    other = subprocess.Popen(["sleep", "30"], stdin=reader)
    try:
        while True:
            os.write(writer, bytes(1 << 16))
    finally:
        other.kill()
        other.wait()
        os.close(reader)
        os.close(writer)


def _copied_program(lab: Any, name: str) -> Any:
    import shutil

    return shutil.copy("/bin/sleep", lab.scratch / name)


@CASES.workflow(BUSY)
def runs_what_is_written(lab: Any) -> Any:
    """Runs a program that another process has open for writing: ETXTBSY."""
    program = _copied_program(lab, "solver-1")
    writer = open(program, "r+b")
    return _until_it_ends(lab.python(_runs, str(program)), writer.close)


def _runs(program: str) -> Any:
    import subprocess

    return subprocess.run([program, "0"], check=True)


@CASES.workflow(BUSY, structured=False)
def shell_runs_what_is_written(lab: Any) -> Any:
    """Bash app: runs a program that another process has open for writing."""
    writer = open(_copied_program(lab, "solver-2"), "r+b")
    return _until_it_ends(lab.bash("shell_runs_what_is_written", "{scratch}/solver-2 0"), writer.close)


def _running_program(lab: Any, name: str) -> Any:
    import subprocess

    process = subprocess.Popen([_copied_program(lab, name), "120"])

    def stop() -> None:
        process.kill()
        process.wait()

    return stop


@CASES.workflow(BUSY)
def writes_what_runs(lab: Any) -> Any:
    """Opens a program for writing that another process runs: ETXTBSY."""
    stop = _running_program(lab, "solver-3")
    return _until_it_ends(lab.python(_writes, str(lab.scratch / "solver-3")), stop)


def _writes(path: str) -> None:
    with open(path, "wb") as stream:
        stream.write(b"x")


@CASES.workflow(BUSY, structured=False)
def cp_over_what_runs(lab: Any) -> Any:
    """Bash app: cp overwrites a program that another process runs."""
    stop = _running_program(lab, "solver-4")
    return _until_it_ends(lab.bash("cp_over_what_runs", "cp /bin/true {scratch}/solver-4"), stop)


def _listener() -> Any:
    import socket

    return socket.create_server(("127.0.0.1", 0))


@CASES.workflow(BUSY)
def port_taken(lab: Any) -> Any:
    """Listens on a port that another process has: EADDRINUSE."""
    holder = _listener()
    return _until_it_ends(lab.python(_listens, holder.getsockname()[1]), holder.close)


def _listens(port: int) -> Any:
    import socket

    with socket.socket() as server:
        server.bind(("127.0.0.1", port))
        return server.listen()


@CASES.workflow(BUSY)
def zmq_port_taken(lab: Any) -> Any:
    """Binds a socket of ZeroMQ to a port that another process has."""
    holder = _listener()
    return _until_it_ends(lab.python(_binds_with_zmq, holder.getsockname()[1]), holder.close)


def _binds_with_zmq(port: int) -> Any:
    import zmq

    with zmq.Context() as context, context.socket(zmq.PULL) as socket:
        return socket.bind(f"tcp://127.0.0.1:{port}")


@CASES.workflow(BUSY, structured=False)
def program_port_taken(lab: Any) -> Any:
    """Bash app: a web server is started on a port that another process has."""
    holder = _listener()
    command = f"python3 -m http.server --bind 127.0.0.1 {holder.getsockname()[1]}"
    return _until_it_ends(lab.bash("program_port_taken", command), holder.close)


@CASES.workflow(BUSY, structured=False)
def directory_still_written(lab: Any) -> Any:
    """Removes a directory into which another process still writes its results: ENOTEMPTY says nothing of that."""
    (lab.scratch / "parts").mkdir()
    writer = open(lab.scratch / "parts" / "7.dat", "w")
    return _until_it_ends(lab.python(_removes, str(lab.scratch / "parts")), writer.close)


def _removes(directory: str) -> None:
    import os

    os.rmdir(directory)


@CASES.workflow(BUSY, structured=False)
def git_index_locked(lab: Any) -> Any:
    """Bash app: git adds a file to a repository whose index another process has locked."""
    import subprocess

    subprocess.run(["git", "init", "-q", str(lab.scratch / "repository")], check=True)
    holder = open(lab.scratch / "repository" / ".git" / "index.lock", "x")
    command = "cd {scratch}/repository && touch results.csv && git add results.csv"
    return _until_it_ends(lab.bash("git_index_locked", command), holder.close)


@CASES.workflow(BUSY, structured=False)
def apt_lists_locked(lab: Any) -> Any:
    """Bash app: apt-get finds the lock of its lists held by another process."""
    import fcntl

    (lab.scratch / "lists" / "partial").mkdir(parents=True)
    holder = open(lab.scratch / "lists" / "lock", "w")
    fcntl.lockf(holder, fcntl.LOCK_EX)
    command = (
        "apt-get -q -o Dir::State::lists={scratch}/lists -o Dir::Etc::sourcelist=/dev/null"
        " -o Dir::Etc::sourceparts=/dev/null update"
    )
    return _until_it_ends(lab.bash("apt_lists_locked", command), holder.close)


@CASES.workflow(BUSY, structured=False)
def dpkg_locked(lab: Any) -> Any:
    """Bash app: dpkg finds the lock of its database held by another process."""
    import fcntl

    for part in ("info", "updates", "triggers"):
        (lab.scratch / "dpkg" / part).mkdir(parents=True)
    (lab.scratch / "dpkg" / "status").touch()
    holder = open(lab.scratch / "dpkg" / "lock", "w")
    fcntl.lockf(holder, fcntl.LOCK_EX)
    return _until_it_ends(
        lab.bash("dpkg_locked", "dpkg --admindir={scratch}/dpkg --remove octopus-absent"), holder.close
    )


MOUNTS = Cases()


@MOUNTS.python(BUSY)
def removes_a_mount_point() -> Any:
    """Removes a directory on which a file system is mounted: EBUSY."""
    import os

    os.rmdir(MOUNT)


@MOUNTS.python(BUSY)
def unmounts_what_is_used() -> Any:
    """Unmounts a file system on which another process has a file open: EBUSY."""
    import ctypes
    import os
    import subprocess

    with open(f"{MOUNT}/log", "w") as log:
        other = subprocess.Popen(["sleep", "30"], stdout=log)
    try:
        if ctypes.CDLL(None, use_errno=True).umount(MOUNT.encode()) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), MOUNT)
    finally:
        other.kill()
        other.wait()


MOUNTS.bash("rmdir_mount_point", BUSY, f"rmdir {MOUNT}")
MOUNTS.bash(
    "umount_what_is_used",
    BUSY,
    f"sleep 30 > {MOUNT}/log & sleep 0.2; umount {MOUNT}; code=$?; kill $!; exit $code",
)

SCENES = [
    Scene("busy", CASES, prepare=needs(sqlite3="sqlite3", flock="util-linux", git="git", dpkg="dpkg")),
    Scene("busy_mounts", MOUNTS, [Place("mounts", {"*": {"tmpfs": {MOUNT: "size=1m"}}})]),
]
