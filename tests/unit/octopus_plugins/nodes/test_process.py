from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from octopus_plugins.nodes import process

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux's /proc")


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A process with a child of its own, 64 MiB and a limit."""
    script = (
        "import resource, subprocess, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (300, 300));"
        "block = b'x' * (64 << 20); sub = subprocess.Popen(['sleep', '60']);"
        "print('there', flush=True); sys.stdin.read(); sub.kill()"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as started:
        assert started.stdout is not None
        assert started.stdout.readline() == b"there\n"
        yield started
        assert started.stdin is not None
        started.stdin.close()
        started.wait(10)


def test_usage_is_what_psutil_measures(child: subprocess.Popen[bytes]) -> None:
    found = process.usage(child.pid)
    other = psutil.Process(child.pid)
    memory = other.memory_info()
    assert (found["rss"], found["vms"]) == (memory.rss, memory.vms)
    assert found["rss"] > 64 << 20
    assert found["open_files"] == other.num_fds()
    assert found["threads"] == other.num_threads()
    assert found["children"] == 1
    assert found["cpu_user"] == pytest.approx(other.cpu_times().user, abs=0.1)


def test_both_ways_to_measure_have_the_same_keys(child: subprocess.Popen[bytes]) -> None:
    assert set(process.usage(child.pid)) == set(process._usage_by_psutil(child.pid))


@linux
def test_the_peak_is_at_least_what_is_used_now(child: subprocess.Popen[bytes]) -> None:
    peak = process.peak_rss(child.pid)
    assert peak is not None
    assert peak >= 64 << 20


@linux
def test_the_limits_of_another_process_are_its_own(child: subprocess.Popen[bytes]) -> None:
    assert process.limits(child.pid)["open_files"] == 300
    assert process.limits()["open_files"] == resource.getrlimit(resource.RLIMIT_NOFILE)[0] != 300


def test_children_are_those_of_the_process(child: subprocess.Popen[bytes]) -> None:
    assert child.pid in process.children(os.getpid())
    assert process.children(child.pid) == [found.pid for found in psutil.Process(child.pid).children()]


@linux
@pytest.mark.parametrize(
    ("end", "status"), [("os._exit(3)", {"exit_code": 3}), ("os.kill(os.getpid(), 9)", {"signal": signal.SIGKILL})]
)
def test_how_a_dead_process_ended_can_be_read_before_anybody_waits_for_it(end: str, status: dict[str, int]) -> None:
    child = subprocess.Popen([sys.executable, "-c", f"import os; {end}"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert process.exit_status(child.pid) == status
    assert process.is_dead(child.pid)
    assert child.pid in process.children(os.getpid())
    with pytest.raises(ProcessLookupError):
        process.usage(child.pid)
    child.wait()


def test_of_a_process_that_is_gone_nothing_is_known() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert process.exit_status(child.pid) == {}
    assert process.children(child.pid) == []
    assert process.peak_rss(child.pid) is None
    assert process.is_dead(child.pid)
    with pytest.raises(OSError, match=str(child.pid)):
        process.usage(child.pid)


@linux
def test_a_process_on_its_way_out_is_no_measurement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The kernel gives memory back first: a kill for want of memory would be told with 0 bytes used.
    fake = tmp_path / str(os.getpid())
    (fake / "fd").mkdir(parents=True)
    (fake / "stat").write_bytes(Path("/proc/self/stat").read_bytes())
    (fake / "statm").write_text("0 0 0 0 0 0 0\n", encoding="ascii")
    monkeypatch.setattr(process, "_PROC", tmp_path)
    with pytest.raises(ProcessLookupError, match="has ended"):
        process.usage(os.getpid())
