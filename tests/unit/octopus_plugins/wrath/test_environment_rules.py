"""The environment layer: what a node has, and what it can reach."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pynvml
import pytest
from parsl.executors.high_throughput.errors import ManagerLost

from octopus_plugins.events import (
    Heartbeat,
)
from octopus_plugins.wrath import History, categorize

from .causes import (
    assert_categorized,
    bash,
    connect_to_closed_port,
    execute_data,
    import_absent,
    import_absent_below,
    program,
    read_unmapped,
    resolve_nothing,
)

NOW = 1_700_000_000.0


def wait_for_silent_peer():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        with socket.create_connection(server.getsockname(), timeout=0.05) as client:
            client.recv(1)


def lose_the_directory():
    before, gone = Path.cwd(), tempfile.mkdtemp()
    os.chdir(gone)
    Path(gone).rmdir()
    try:
        os.getcwd()  # noqa: PTH109
    finally:
        os.chdir(before)


CASES = [
    (read_unmapped, "filesystem_error", "yes"),
    (import_absent, "module_missing", "yes"),
    (import_absent_below, "module_missing", "yes"),
    (lambda: ctypes.CDLL("libnosuchthing.so.3"), "library_missing", "yes"),
    (bash("octopus-no-such-program"), "executable_missing", "yes"),
    (lambda: subprocess.run(["octopus-no-such-program"], check=True), "executable_missing", "yes"),
    (bash(__file__), "permission_denied", "unknown"),
    (execute_data, "permission_denied", "unknown"),
    (connect_to_closed_port, "network_unreachable", "yes"),
    (resolve_nothing, "network_unreachable", "yes"),
    (wait_for_silent_peer, "network_unreachable", "yes"),
    (lose_the_directory, "filesystem_error", "yes"),
]


@pytest.mark.parametrize(
    ("cause", "category", "resolvable"), CASES, ids=lambda value: getattr(value, "__name__", value)
)
def test_a_real_failure_gets_its_category(fail, cause, category, resolvable):
    assert_categorized(fail(cause), category, resolvable)


def test_a_node_without_a_gpu_driver_is_told_by_nvidia_s_own_exception(fail):
    found = categorize(fail(pynvml.nvmlInit))
    assert (found.category, found.rule) == ("gpu_error", "gpu_error.type")
    assert found.evidence["exception"] == "pynvml.NVMLError_LibraryNotFound"


def test_a_gpu_without_memory_is_the_gpus_matter(fail):
    # PyTorch's words; there is no GPU here to raise them.
    found = categorize(fail(RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB (GPU 0; 8 GiB total)")))
    assert found.category == "gpu_error"


def test_a_lost_manager_of_a_node_whose_heartbeats_ended_is_a_node_down(fail):
    history = History()
    history.observe(Heartbeat(run_id="r", time=1.0, host="small-0", component="manager", state="lost"))
    assert categorize(fail(ManagerLost(b"m", "small-0")), history).category == "manager_lost"
    history.observe(Heartbeat(run_id="r", time=1.0, host="small-0", component="node", state="lost"))
    assert categorize(fail(ManagerLost(b"m", "small-0")), history).category == "node_down"


def test_a_missing_library_of_a_program_is_not_a_missing_program(fail):
    # The words of glibc's loader; a program that lacks a library cannot be made without a compiler.
    stderr = "prog: error while loading shared libraries: libfoo.so.2: cannot open shared object file: No such file\n"
    found = categorize(fail(bash("exit 127"), stderr_tail=stderr))
    assert (found.category, found.evidence["subject"]) == ("library_missing", "libfoo.so.2")


def test_a_node_that_fails_what_succeeds_elsewhere_is_unhealthy(fail, world):
    there = world()
    for number in range(4):
        there.succeed(f"good-{number}", "small-1")
    for number in range(2):
        there.observe(fail(lambda: int("x"), task_id=f"bad-{number}"))
    assert categorize(fail(lambda: int("x"), task_id="third"), there.history).category == "node_unhealthy"
    assert categorize(fail(lambda: int("x"), task_id="third", host="small-1"), there.history).category == "code_error"


def test_a_module_that_a_program_lacks_is_found_in_its_words(fail, tmp_path):
    command = f"{sys.executable} -m octopus_no_such_tool"
    assert categorize(fail(**program(command, tmp_path))).category == "module_missing"


def test_a_missing_module_says_whether_the_app_succeeded_elsewhere(fail, world):
    there = world()
    missing = fail(import_absent)
    assert "succeeded_elsewhere" not in categorize(missing, there.history).evidence
    there.succeed("good", "small-1")
    found = categorize(missing, there.history)
    assert found.evidence["succeeded_elsewhere"] is True
    assert found.reason.endswith("app succeeded on another node")


def test_a_node_that_fell_silent_with_its_manager_is_down(fail):
    history = History()
    history.observe(Heartbeat(run_id="r", time=NOW, host="small-0", period=10.0))
    assert categorize(fail(ManagerLost(b"m", "small-0"), time=NOW + 15), history).category == "manager_lost"
    found = categorize(fail(ManagerLost(b"m", "small-0"), time=NOW + 120), history)
    assert (found.category, found.evidence["silent"]) == ("node_down", 120.0)
