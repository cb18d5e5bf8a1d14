"""What a run's processes took, and how they are heard and ended."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from benchmarks.session import watched
from benchmarks.usage import members, process_cpu, resident, session_cpu

_SPIN = "import time\nwhile time.process_time() < {seconds}: pass\n"


def test_the_cpu_of_a_session_has_that_of_children_alive_and_ended(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import subprocess, sys\n"
        f"spin = [sys.executable, '-c', {_SPIN.format(seconds=0.4)!r}]\n"
        "print('begin')\n"
        "subprocess.run(spin)\n"
        "alive = subprocess.Popen([*spin[:-1], spin[-1] + 'print(1, flush=True)\\ninput()'],"
        " stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
        "alive.stdout.readline()\n"
        "print('end')\n"
        "alive.kill()\n"
    )
    heard: list[tuple[str, float, int]] = []

    def hear(session: int, line: str) -> None:
        heard.append((line, session_cpu(session), len(members(session))))

    watched([sys.executable, "-u", str(program)], os.environ, tmp_path, 60, hear)
    (begin, before, _), (end, after, processes) = heard
    assert (begin, end) == ("begin", "end")
    assert after - before > 0.7
    assert processes in {1, 2}  # the one that is alive may be killed by now


def test_a_run_that_fails_says_what_it_printed(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"(?s)status 3.*the reason"):
        watched([sys.executable, "-c", "print('the reason'); raise SystemExit(3)"], os.environ, tmp_path, 60, _ignore)


def test_a_run_that_takes_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    sessions: list[int] = []
    program = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE);"
    command = [sys.executable, "-u", "-c", f"{program} print('up'); import time; time.sleep(600)"]
    with pytest.raises(RuntimeError, match="did not end within"):
        watched(command, os.environ, tmp_path, 2, lambda session, line: sessions.append(session))
    # What is ended may stay listed until somebody heeds its end; it has no memory any more.
    assert sessions and not any(map(resident, members(sessions[0])))


def test_a_process_that_is_gone_takes_nothing() -> None:
    assert resident(os.getpid()) > 1_000_000 and process_cpu(os.getpid()) > 0
    assert (resident(2**22 + 1), process_cpu(2**22 + 1)) == (0, 0)  # above the kernel's largest


def _ignore(session: int, line: str) -> None:
    pass
