"""The application layer: each cause is a real one."""

from __future__ import annotations

import configparser
import io
import json
import math
import multiprocessing
import pickle
import sqlite3
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace
from parsl.data_provider.files import File
from parsl.executors.high_throughput.errors import WorkerLost
from parsl.serialize import serialize
from parsl.serialize.errors import DeserializationError

from octopus_plugins.events import Heartbeat, WorkerState
from octopus_plugins.wrath import History, categorize

from . import causes
from .causes import assert_categorized, bash, floating_point, program, wrap, wrong_call


def import_missing_name():
    from math import no_such_name  # noqa: F401


CASES = [
    (wrong_call, "code_error", "no"),
    (lambda: undefined_name, "code_error", "no"),  # noqa: F821
    (lambda: compile("def f(:", "app.py", "exec"), "code_error", "no"),
    (lambda: int("twelve"), "code_error", "unknown"),
    (lambda: {}["key"], "code_error", "unknown"),
    (lambda: None.shape, "code_error", "unknown"),
    (lambda: 1 / 0, "numerical_error", "unknown"),
    (lambda: math.exp(1000), "numerical_error", "unknown"),
    (lambda: np.linalg.inv(np.zeros((2, 2))), "numerical_error", "unknown"),
    (floating_point, "numerical_error", "unknown"),
    (Path("/no/such/input").read_text, "bad_input", "unknown"),
    (lambda: json.loads("{"), "bad_input", "unknown"),
    (lambda: b"\xff".decode(), "bad_input", "unknown"),
    (bash("exit 3"), "app_exit", "unknown"),
    (lambda: subprocess.run(["false"], check=True), "app_exit", "unknown"),
    (lambda: sys.exit(4), "app_exit", "unknown"),
    (bash("kill -KILL $$"), "memory_exhausted", "yes"),
    (bash("bash -c 'kill -KILL $$'; exit $?"), "memory_exhausted", "yes"),
    (bash("kill -SEGV $$"), "native_crash", "unknown"),
    (bash("bash -c 'kill -ABRT $$'; exit $?"), "native_crash", "unknown"),
    (bash("true", outputs=[File("/no/such/output")]), "missing_output", "unknown"),
    (lambda: serialize(n for n in range(3)), "serialization", "no"),
    (lambda: pickle.dumps(lambda: 0), "serialization", "no"),
    (lambda: pickle.loads(b"not a pickle"), "bad_input", "unknown"),
    (lambda: math.log(-1.0), "numerical_error", "unknown"),
    (lambda: int(float("nan")), "numerical_error", "unknown"),
    (lambda: configparser.ConfigParser().read_string("no section"), "bad_input", "unknown"),
    (lambda: msgspec.json.decode(b"{"), "bad_input", "unknown"),
    (lambda: np.load(io.BytesIO(b"x,y")), "bad_input", "unknown"),
    (lambda: sqlite3.connect(__file__).execute("SELECT 1 FROM t"), "bad_input", "unknown"),
    (lambda: sqlite3.connect(":memory:").execute("SELEC 1"), "code_error", "unknown"),
    (lambda: __import__("math", fromlist=["x"]).no_such_name, "code_error", "unknown"),
    (import_missing_name, "code_error", "no"),
    (wrap(lambda: subprocess.run(["false"], check=True)), "app_exit", "unknown"),
]


@pytest.mark.parametrize(
    ("cause", "category", "resolvable"), CASES, ids=lambda value: getattr(value, "__name__", value)
)
def test_a_real_failure_gets_its_category(fail, cause, category, resolvable):
    assert_categorized(fail(cause), category, resolvable)


def test_a_traceback_on_standard_error_explains_a_programs_exit(fail, tmp_path):
    stderr = tmp_path / "stderr"
    command = f"{sys.executable} -c 'import octopus_no_such_module' 2>{stderr}"
    found = categorize(fail(bash(command), stderr_tail=stderr.read_text() if stderr.exists() else None))
    assert found.category == "app_exit"  # nothing was read yet
    found = categorize(fail(bash(command), stderr_tail=stderr.read_text()))
    assert (found.category, found.evidence["read_from_text"]) == ("module_missing", "ModuleNotFoundError")
    assert found.confidence < 0.9


def test_a_bug_on_standard_error_stays_the_programs_exit(fail):
    stderr = subprocess.run([sys.executable, "-c", "int('x')"], capture_output=True, text=True, check=False).stderr
    found = categorize(fail(bash("exit 1"), stderr_tail=stderr))
    assert found.category == "app_exit"
    assert "ValueError: invalid literal" in found.reason


def test_words_on_a_python_apps_standard_error_are_not_held_against_its_exception(fail):
    found = categorize(fail(lambda: int("x"), stderr_tail="connection refused, will retry\nno space left on device\n"))
    assert found.category == "code_error"


def test_the_causes_are_no_program():
    # execute_data and the case of exit status 126 rest on it
    assert not Path(causes.__file__).stat().st_mode & 0o111


def test_a_program_that_finds_no_input_has_a_bad_input(fail, tmp_path):
    assert categorize(fail(**program("cat /no/such/input", tmp_path))).category == "bad_input"


def test_the_command_that_parsl_writes_before_standard_error_is_no_evidence(fail, tmp_path):
    failed = program("true 'out of memory: no space left on device'; exit 3", tmp_path)
    assert "out of memory" in failed["stderr_tail"]
    assert categorize(fail(**failed)).category == "app_exit"


def test_a_worker_that_ended_with_an_exit_code_was_ended_by_its_task(fail):
    process = multiprocessing.get_context("spawn").Process(target=sys.exit, args=(4,))
    process.start()
    process.join()
    history = History()
    worker = WorkerState(pid=process.pid, alive=False, exit_code=process.exitcode)
    history.observe(Heartbeat(run_id="r", time=1.0, host="small-0", workers=(worker,)))
    found = categorize(fail(WorkerLost(0, "small-0"), pid=process.pid), history)
    assert (found.category, found.rule, found.evidence["exit_code"]) == ("app_exit", "app_exit.worker", 4)


class PickyError(Exception):
    def __init__(self, cell, why):
        super().__init__(f"cell {cell}: {why}")


def test_an_exception_that_the_submit_side_cannot_read_is_still_the_reason(fail, caught):
    unreadable = caught(lambda: PickyError(*PickyError(7, "diverged").args))
    wrapped = DeserializationError(f"the task's result cannot be read: {unreadable}")
    wrapped.__cause__ = unreadable
    told = fail(wrapped)
    described = replace(fail(PickyError(7, "diverged")), causes=(told.exception, *told.causes))
    assert categorize(told).category == "serialization"
    assert categorize(described).category == "unknown"
