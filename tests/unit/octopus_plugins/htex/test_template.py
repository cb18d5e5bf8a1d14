"""The template of a pool's workers: real processes, forked from one that has imported what they need."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from multiprocessing import connection
from pathlib import Path
from typing import Any

import pytest

from octopus_plugins.htex import template

STRANGERS = ("queue", "psutil", "zmq", *(("selectors", "socket") if sys.version_info >= (3, 11) else ()))
"""Modules of these names lie in the pool's working directory."""

PROGRAM = """
import json, multiprocessing, os, random, signal, sys, time
from parsl.multiprocessing import SpawnContext
from octopus_plugins.htex.template import Template


def report(queue, number):
    import threading
    found = {
        "pid": os.getpid(), "parent": os.getppid(), "threads": threading.active_count(), "draw": random.random(),
        "loaded": "parsl_monitor.worker" in sys.modules, "safe_path": os.environ.get("PYTHONSAFEPATH"),
        "path": sys.path, "numpy": "numpy" in sys.modules,
        "signals": [repr(signal.getsignal(one)) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)],
    }
    queue.put(found)
    if number == 1:
        sys.exit(3)
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)


def grandchild(queue):
    queue.put((os.environ.get("OF_WORKER"), os.getpid()))


def of_worker(queue):
    # As Parsl pins a worker to its GPU: by its environment.
    os.environ["OF_WORKER"] = "gpu-3"
    context = multiprocessing.get_context("forkserver")
    inner = context.SimpleQueue()
    child = context.Process(target=grandchild, args=(inner,))
    child.start()
    queue.put(inner.get())
    child.join()


if __name__ == "__main__":
    template = Template("parsl_monitor.worker")
    queue = SpawnContext.SimpleQueue()
    began = time.monotonic()
    processes, told = [], []
    for number in range(3):
        processes.append(template.start(f"worker-{number}", None, report, (queue, number)))
        told.append(queue.get())
        processes[-1].join()
    nested = template.start("nested", None, of_worker, (queue,))
    environment, _ = queue.get()
    nested.join()
    print(json.dumps({
        "told": told, "codes": [process.exitcode for process in processes], "environment": environment,
        "pid": os.getpid(),
    }))
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    directory: Path = tmp_path_factory.mktemp("template")
    (directory / "program.py").write_text(textwrap.dedent(PROGRAM))
    elsewhere = directory / "elsewhere"
    elsewhere.mkdir()
    for name in STRANGERS:
        (elsewhere / f"{name}.py").write_text(f"raise RuntimeError('a stranger stands in for {name}')\n")
    done = subprocess.run(
        [sys.executable, directory / "program.py"],
        cwd=elsewhere,
        env={**os.environ, "PYTHONPATH": os.fspath(directory)},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_workers_have_loaded_what_they_need_and_nothing_of_their_users(ran: dict[str, Any]) -> None:
    assert all(told["loaded"] and not told["numpy"] for told in ran["told"])


def test_what_lies_in_the_working_directory_is_none_of_their_modules(ran: dict[str, Any]) -> None:
    for told in ran["told"]:
        assert "" not in told["path"]
        assert told["safe_path"] is None, "what a task starts finds its modules as ever"


def test_they_are_forked_of_one_process_that_is_not_the_pool(ran: dict[str, Any]) -> None:
    parents = {told["parent"] for told in ran["told"]}
    assert len(parents) == 1
    assert ran["pid"] not in parents
    assert len({told["pid"] for told in ran["told"]}) == 3


def test_that_process_has_no_threads_that_a_fork_could_lose(ran: dict[str, Any]) -> None:
    assert [told["threads"] for told in ran["told"]] == [1, 1, 1]


def test_the_pool_learns_how_they_ended(ran: dict[str, Any]) -> None:
    assert ran["codes"] == [0, 3, -9]


def test_they_draw_different_random_numbers_and_have_the_usual_signal_handlers(ran: dict[str, Any]) -> None:
    assert len({told["draw"] for told in ran["told"]}) == 3
    for told in ran["told"]:
        interrupt, terminate, child = told["signals"]
        assert "default_int_handler" in interrupt
        assert "SIG_DFL" in terminate and "SIG_DFL" in child


def test_what_a_task_starts_from_a_fork_server_has_the_task_s_environment(ran: dict[str, Any]) -> None:
    """Python 3.14 makes the fork server the default: a task's own pool must keep the worker's GPU."""
    assert ran["environment"] == "gpu-3"


def test_where_other_users_could_reach_it_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "arbitrary_address", lambda family: "\0listener-1")
    assert not template._is_safe()
    monkeypatch.setattr(connection, "arbitrary_address", lambda family: "/tmp/pymp-1/listener-1")
    assert template._is_safe()
