"""A day of an endpoint in minutes: user endpoints that start, work, and end, one after the other, each in another way.

    make sessions                                # 24 sessions of stock, 24 of ours
    make sessions OPTIONS="--sessions 6 --systems ours"

After each session what is left is counted: descriptors and threads of the process that submits and of the endpoint's
own, processes, files, and records of open tasks. Ends with status 1 where more is left than after the first sessions,
and more than stock leaves.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import globus_compute_sdk.sdk.client
import psutil

from benchmarks import tables
from benchmarks.compute import rabbitmq
from benchmarks.compute.endpoint import Endpoint, end, processes_of
from benchmarks.compute.service import ComputeService
from benchmarks.delivery.page import measured, write_section
from benchmarks.harmless.compute import system as systems
from benchmarks.harmless.compute import work
from benchmarks.harmless.compute.case import Case
from benchmarks.harmless.compute.driver import HEARTBEAT, lines_to
from benchmarks.harmless.configuring import OURS, SYSTEMS
from benchmarks.resilience.process import ROOT
from octopus_plugins.config import OctopusConfig

CASE = Case("sessions", "a user endpoint that starts, works and ends, again and again", idle=1)

ENDS = ("kill", "restart", "idle")
"""How sessions end, in turn: killed under a task; with their endpoint; by themselves, as they have nothing to do."""

LONG = 40.0
"""Seconds that a session lives which ends by itself: what earlier ones have lost is answered after half a minute."""

WARM = 6
"""Sessions after which nothing more may grow: each end was seen twice."""

SETTLE_SECONDS = 30.0
"""For what is closed in the background; only what is still there then counts."""

PATIENCE = 240.0


@dataclass(frozen=True, slots=True)
class Left:
    """What there is after a session.

    Attributes:
        session: Its number, from 1 on.
        ended: How it ended.
        well: Tasks that ended well in it.
        tasks: How many were submitted in it.
        descriptors: Of the process that submits.
        threads: Of it.
        endpoint_descriptors: Of the endpoint's core process.
        endpoint_threads: Of it.
        processes: Of the endpoint, its core process included.
        files: Below the endpoint's home.
        open_records: Tasks that the record of open tasks holds; stock has none.
    """

    session: int
    ended: str
    well: int
    tasks: int
    descriptors: int
    threads: int
    endpoint_descriptors: int
    endpoint_threads: int
    processes: int
    files: int
    open_records: int


WATCHED = ("descriptors", "threads", "endpoint_descriptors", "endpoint_threads", "processes")
"""Must not grow at all; files grow in stock, too."""


class Day:
    """Runs sessions, and counts.

    Args:
        endpoint: Started.
        submit: Submits a call.
        journal: Directory of the tasks' files.
    """

    def __init__(self, endpoint: Endpoint, submit: Callable[..., Any], journal: Path) -> None:
        self._endpoint, self._submit, self._journal, self._tasks = endpoint, submit, journal, 0

    def session(self, number: int) -> Left:
        """A session: four tasks that end well; where it is killed or stopped, two more that run then and are lost."""
        ended = ENDS[(number - 1) % len(ENDS)]
        futures = [self._task(seconds) for seconds in (LONG if ended == "idle" else 0.1, 0.1, 0.1, 0.1)]
        well = sum(future.result(timeout=PATIENCE) == key[::-1] for key, future in futures)
        if ended == "idle":
            self._until(lambda: not self._endpoint.user_endpoints(), "the user endpoint does not end when it is idle")
        else:
            begun = [self._task(60.0)[0] for _ in range(2)]
            self._until(lambda: all((self._journal / key).exists() for key in begun), "the tasks do not begin")
            if ended == "kill":
                self._endpoint.kill_user_endpoint()
            else:
                self._endpoint.stop()
                self._endpoint.start()
        return self._left(number, ended, well, len(futures))

    def _task(self, seconds: float) -> tuple[str, Any]:
        self._tasks += 1
        key = f"task-{self._tasks}"
        return key, self._submit(work.work, str(self._journal), key, seconds, None)

    def _until(self, condition: Callable[[], bool], problem: str, seconds: float = PATIENCE) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(problem)
            time.sleep(0.1)

    def _left(self, number: int, ended: str, well: int, tasks: int) -> Left:
        """Count, when nothing is closed any more: as soon as three looks, a second apart, find the same."""
        own, core = psutil.Process(), psutil.Process(self._endpoint.pid)
        seen: list[tuple[int, ...]] = []
        deadline = time.monotonic() + SETTLE_SECONDS
        while (len(seen) < 3 or len(set(seen[-3:])) > 1) and time.monotonic() < deadline:
            time.sleep(1.0)
            seen.append(
                (
                    own.num_fds(),
                    own.num_threads(),
                    core.num_fds(),
                    core.num_threads(),
                    len(self._endpoint.processes()),
                    sum(path.is_file() for path in self._endpoint.home.rglob("*")),
                )
            )
        records = sum(map(open_records, self._endpoint.home.glob(".globus_compute/uep.*/octopus-tasks.jsonl")))
        return Left(number, ended, well, tasks, *seen[-1], records)


def open_records(file: Path) -> int:
    """How many tasks a record of open tasks says are open."""
    found = set()
    for line in map(json.loads, file.read_text(encoding="utf-8").splitlines()):
        if "open" in line:
            found.add(line["open"]["task_id"])
        found.discard(line.get("done"))
    return len(found)


def run(system: str, sessions: int, amqp: str, directory: Path) -> Iterator[Left]:
    """Run so many sessions of a system, in this process."""
    for name in ("journal", "endpoint", "broker"):
        (directory / name).mkdir(parents=True)
    with contextlib.ExitStack() as stack:
        lines = stack.enter_context(lines_to(amqp, directory, CASE, system))
        octopus = OctopusConfig.load(
            profile="local",
            bootstrap_servers=lines.broker.address if lines.broker is not None else "127.0.0.1:9",
            namespace="harmless",
            spool_dir=directory / "spool",
        )
        web = stack.enter_context(ComputeService(amqp))
        globus_compute_sdk.sdk.client.get_web_service_url = lambda *_: web.url  # type: ignore[attr-defined]
        engine = systems.engine(CASE, system, directory, octopus)
        endpoint = Endpoint(
            directory / "endpoint", web, engine, heartbeat=HEARTBEAT, idle=CASE.idle, hooked=system == OURS
        )
        endpoint.start()
        stack.callback(endpoint.kill)
        executor = systems.executor(CASE, system, octopus, endpoint.id)
        day = Day(endpoint, executor.submit, directory / "journal")
        for number in range(1, sessions + 1):
            yield day.session(number)


def growth(days: Mapping[str, Sequence[Left]]) -> list[str]:
    """What is left over, in words; nothing where all is as it should be.

    Args:
        days: What each system left after each session.
    """
    found = []
    for system, lefts in days.items():
        if system != OURS:
            continue
        early, late = lefts[:WARM], lefts[-len(ENDS) :]
        for name in WATCHED:
            before, after = max(getattr(left, name) for left in early), max(getattr(left, name) for left in late)
            if after > before:
                found.append(f"{name.replace('_', ' ')} grew from {before} to {after}")
        if late[-1].open_records:
            found.append(f"{late[-1].open_records} records of tasks are left")
        if lost := sum(left.tasks - left.well for left in lefts):
            found.append(f"{lost} tasks did not end well")
    slopes = {system: files_a_session(lefts) for system, lefts in days.items()}
    if OURS in slopes and len(slopes) > 1 and slopes[OURS] > min(slopes.values()) + 0.5:
        found.append(f"{slopes[OURS]:.1f} more files a session, in stock {min(slopes.values()):.1f}")
    return found


def files_a_session(lefts: Sequence[Left]) -> float:
    """By how many files a session adds, from when each end was seen twice."""
    later = lefts[WARM - 1 :] if len(lefts) > WARM + len(ENDS) else lefts
    return (later[-1].files - later[0].files) / max(len(later) - 1, 1)


COLUMNS = (
    "system",
    "session",
    "ended",
    "well",
    *(name.replace("_", " ") for name in (*WATCHED, "files", "open_records")),
)


def rows(days: Mapping[str, Sequence[Left]]) -> list[tuple[str, ...]]:
    """The sessions of each system after which nothing may grow, and its last ones; all where there are few."""
    found = []
    for system, lefts in days.items():
        few = len(lefts) < WARM + len(ENDS)
        for left in lefts if few else [*lefts[WARM - len(ENDS) : WARM], *lefts[-len(ENDS) :]]:
            counts = (getattr(left, name) for name in (*WATCHED, "files", "open_records"))
            found.append((system, str(left.session), left.ended, f"{left.well} of {left.tasks}", *map(str, counts)))
    return found


def main() -> int:
    """Run it; 0 where nothing is left over."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=24, help="of each system (default: 24)")
    parser.add_argument("--systems", nargs="+", default=list(SYSTEMS), choices=list(SYSTEMS))
    parser.add_argument("--write-docs", action="store_true", help="write the figures into docs/globus-compute.md")
    # For the process of one system.
    parser.add_argument("--alone", nargs=2, metavar=("AMQP", "DIRECTORY"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        for left in run(options.systems[0], options.sessions, options.alone[0], Path(options.alone[1])):
            print(json.dumps(asdict(left)), flush=True)
        os._exit(0)  # threads of the SDK wait for answers that never come
    if missing := rabbitmq.ensure_installed():
        print(f"sessions: {missing}", file=sys.stderr)
        return 1
    days = {}
    with tempfile.TemporaryDirectory(prefix="octopus-sessions-") as scratch, rabbitmq.RabbitMQ() as server:
        for system in options.systems:
            days[system] = _day(system, options.sessions, server.url, Path(scratch) / system)
    problems = growth(days)
    table = tables.markdown(COLUMNS, rows(days))
    slopes = "; ".join(f"{system}: {files_a_session(lefts):.1f} more files a session" for system, lefts in days.items())
    verdict = "; ".join(problems) or "nothing is left over"
    print("\n".join([*table, "", f"{slopes}. {verdict}."]))
    if options.write_docs:
        text = "\n".join([*table, "", f"{slopes[0].upper()}{slopes[1:]}. Verdict: {verdict}.", ""])
        write_section("sessions", f"{text}\n{measured('make sessions')}", ROOT / "docs" / "globus-compute.md")
    return int(bool(problems))


def _day(system: str, sessions: int, amqp: str, directory: Path) -> list[Left]:
    """Run the sessions of a system in a process of its own, and leave no process behind."""
    command = [sys.executable, "-m", "benchmarks.harmless.compute.sessions", "--systems", system]
    command += ["--sessions", str(sessions), "--alone", amqp, str(directory)]
    variables = {name: value for name, value in os.environ.items() if not name.startswith("OCTOPUS_")}
    variables["XDG_STATE_HOME"] = str(directory / "state")
    lefts = []
    with subprocess.Popen(command, cwd=ROOT, env=variables, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                lefts.append(Left(**json.loads(line)))
                print(f"{system}: {lefts[-1]}", file=sys.stderr, flush=True)
        finally:
            process.kill()
            end(lambda: processes_of(str(directory)))
    if len(lefts) < sessions:
        raise RuntimeError(f"{system}: only {len(lefts)} of {sessions} sessions; see above")
    return lefts


if __name__ == "__main__":
    sys.exit(main())
