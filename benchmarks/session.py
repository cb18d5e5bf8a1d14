"""A session of processes: everything that a run starts, from its begin to its end."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]


def environment(broker: str, namespace: str, spool: Path) -> dict[str, str]:
    """The environment of a run that streams to a local broker. The workers inherit all of it.

    Args:
        broker: Its address.
        namespace: Prefix of the run's topics.
        spool: Where the run keeps what is not delivered yet.
    """
    return {
        **os.environ,
        "OCTOPUS_PROFILE": "local",
        "OCTOPUS_BOOTSTRAP_SERVERS": broker,
        "OCTOPUS_NAMESPACE": namespace,
        "OCTOPUS_SPOOL_DIR": str(spool),
        "PYTHONUNBUFFERED": "1",
        # What the workers import, and where they find Parsl's worker pool.
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
    }


def watched(
    command: Sequence[str],
    environment: Mapping[str, str],
    directory: Path,
    seconds: float,
    on_line: Callable[[int, str], None],
) -> str:
    """Run a command in a session of its own, hear each line that it prints as it comes, and leave nothing behind.

    Args:
        command: What to run.
        environment: Its environment.
        directory: Its working directory.
        seconds: After which it is ended.
        on_line: Called with its process id, which is its session's, and a line.

    Returns:
        All that it printed, on either stream.

    Raises:
        RuntimeError: It failed, or took too long; the message has the end of its output.
    """
    process = subprocess.Popen(
        command,
        env=dict(environment),
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    expired = threading.Event()

    def expire() -> None:
        expired.set()
        end_session(process.pid)

    late = threading.Timer(seconds, expire)
    late.start()
    output: list[str] = []
    try:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                output.append(line)
                on_line(process.pid, line.rstrip("\n"))
        process.wait()
    finally:
        late.cancel()
        end_session(process.pid)
        process.wait()
    said = "".join(output)
    if process.returncode != 0:
        why = f"did not end within {seconds:g} s" if expired.is_set() else f"ended with status {process.returncode}"
        raise RuntimeError(f"{' '.join(map(str, command[1:4]))} {why}:\n{said[-2000:]}")
    return said


def run_in_session(
    command: Sequence[str],
    *,
    cwd: Path,
    environment: Mapping[str, str],
    log: Path,
    seconds: float,
    also: Callable[[], object] = lambda: None,
) -> int | None:
    """Run a command in a session of its own, and leave no process of it behind.

    Args:
        command: The command.
        cwd: Its working directory.
        environment: All of its environment.
        log: Where its output goes.
        seconds: That it may take.
        also: Ends what has left the session; called before this waits for the command.

    Returns:
        Its exit status; None where it took too long.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        finally:
            end_session(process.pid)
            also()
            process.wait()


def end_session(session: int, seconds: float = 10.0) -> None:
    """Kill every process of a session, and wait until they are gone.

    Worker pools have process groups of their own and outlive a hanging Parsl; the session is what they all share.
    """
    deadline = time.monotonic() + seconds
    while left := _of_session(session):
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        if time.monotonic() > deadline:
            raise TimeoutError(f"processes of session {session} do not end: {left}")
        time.sleep(0.02)


def manager_processes(session: int, label: str, block: str) -> list[psutil.Process]:
    """The worker pool of a node: the process that speaks to Parsl, not its workers."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            words = process.cmdline()
            if (
                os.getsid(process.pid) == session
                and f"--block_id={block}" in words
                and any(word.startswith("--logdir=") and word.endswith(f"/{label}") for word in words)
            ):
                found.append(process)
    return found


def _of_session(session: int) -> list[psutil.Process]:
    found = []
    for pid in psutil.pids():
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if os.getsid(pid) == session and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.append(psutil.Process(pid))
    return found
