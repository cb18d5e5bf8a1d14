"""A node of Apache Kafka as a process: how it is formatted, starts and ends."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from importlib import resources
from pathlib import Path

from octopus_plugins.errors import BrokerStartError
from octopus_plugins.local import kafka_jars, processes

_FORMAT_SECONDS = 120.0
_STOP_SECONDS = 20.0  # it hands its partitions over first

_HEAP = "320m"
# The first of these that a log has says why, and of its lines the first; what stands at the end is often only the way
# down. A slow machine also logs errors, of events that took long.
_ERRORS = (re.compile(r" FATAL |Exception\b"), re.compile(r" ERROR "))


def prepare() -> None:
    """Find Java and the jars; the first use ever fetches these.

    Raises:
        MissingDependencyError: Java or Maven is missing; says what to install.
        BrokerStartError: The jars could not be fetched.
    """
    kafka_jars.java()
    kafka_jars.class_path()


def format_data(properties: Path, cluster_id: str) -> None:
    """Prepare a node's data directory; does nothing where that is done.

    Raises:
        BrokerStartError: It could not be done; shows why.
        MissingDependencyError: Java or the jars are missing.
    """
    command = [
        *_java("128m", ""),
        *("kafka.tools.StorageTool", "format", "--ignore-formatted"),
        *("--cluster-id", cluster_id, "--config", str(properties)),
    ]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=_environment(),
            text=True,
            errors="replace",
            timeout=_FORMAT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BrokerStartError(f"the data directory of Apache Kafka cannot be prepared: {error}") from error
    if done.returncode:
        raise BrokerStartError(
            f"the data directory of Apache Kafka cannot be prepared ({properties}): {explain(done.stdout)}"
        )


def start(properties: Path, log: Path, extra_classes: tuple[Path, ...], *, detached: bool) -> subprocess.Popen[bytes]:
    """Start a node; does not wait for it.

    Args:
        properties: Its settings.
        log: File for what it prints; appended to.
        extra_classes: Further directories or jars for its class path.
        detached: Whether it outlives the thread that starts it.

    Raises:
        BrokerStartError: It cannot be run.
        MissingDependencyError: Java or the jars are missing.
    """
    extra = "".join(f"{os.pathsep}{path}" for path in extra_classes)
    command = [*_java(_HEAP, extra), "kafka.Kafka", str(properties)]
    try:
        with log.open("ab") as output:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=_environment(),
                cwd="/",
                start_new_session=True,
                preexec_fn=None if detached else processes.end_with_parent,  # noqa: PLW1509 - one prctl
            )
    except OSError as error:
        raise BrokerStartError(f"{command[0]} cannot be run: {error}") from error


def stop(process: subprocess.Popen[bytes], *, kill: bool = False) -> None:
    """End a node and wait until it is gone.

    Args:
        process: Its process.
        kill: At once, by SIGKILL.
    """
    processes.stop(process, kill=kill, seconds=_STOP_SECONDS)


def pause(process: subprocess.Popen[bytes]) -> None:
    """Make a node stand still, as on a machine that hangs: its connections stay open and nothing answers."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGSTOP)


def resume(process: subprocess.Popen[bytes]) -> None:
    """Let a node that stood still go on."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGCONT)


def explain(said: str) -> str:
    """What a person should read of what a node printed when it failed."""
    if "UnsupportedClassVersionError" in said:
        return "its Java is too old: Apache Kafka 4 needs Java 17 or later; on Debian: apt-get install openjdk-17-jre"
    lines = [line for line in said.splitlines() if not line.startswith("\tat ")]
    first = next((number for kind in _ERRORS for number, line in enumerate(lines) if kind.search(line)), None)
    shown = lines[-10:] if first is None else lines[first : first + 10]
    return "\n".join(["it said:", *shown]) if shown else "it said nothing"


def _java(heap: str, extra: str) -> list[str]:
    quiet = Path(str(resources.files("octopus_plugins.local") / "kafka_log4j2.xml"))
    return [
        str(kafka_jars.java()),
        *(f"-Xmx{heap}", "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError", "-Djava.awt.headless=true"),
        f"-Dlog4j2.configurationFile={quiet}",
        *("-cp", kafka_jars.class_path() + extra),
    ]


def _environment() -> dict[str, str]:
    # Nothing of the caller's: it keeps secrets there, and Java takes options from it.
    return {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"}
