"""The framework layer: what Parsl and Globus Compute themselves report."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from concurrent.futures import CancelledError

import pytest
from globus_compute_sdk.errors import TaskExecutionFailed
from parsl.dataflow.errors import DependencyError, JoinError
from parsl.executors import ThreadPoolExecutor
from parsl.executors.errors import BadStateException, InvalidResourceSpecification
from parsl.executors.high_throughput.errors import ManagerLost, VersionMismatch, WorkerLost
from parsl.jobs.errors import TooManyJobFailuresError
from parsl.monitoring.radios.udp import UDPRadioSender
from parsl.serialize import deserialize, serialize
from parsl.serialize.errors import DeserializationError, SerializationError

from octopus_plugins.events import (
    Failure,
    Run,
)
from octopus_plugins.wrath import History, categorize

from .causes import assert_categorized, cancelled

CASES = [
    (cancelled, "lost_task", "yes"),
]


@pytest.mark.parametrize(
    ("cause", "category", "resolvable"), CASES, ids=lambda value: getattr(value, "__name__", value)
)
def test_a_real_failure_gets_its_category(fail, cause, category, resolvable):
    assert_categorized(fail(cause), category, resolvable)


def bad_state(error):
    return BadStateException(ThreadPoolExecutor(label="small"), error)


FRAMEWORK_CASES = [
    (lambda: WorkerLost(3, "small-0"), "worker_lost"),
    (lambda: ManagerLost(b"6f1c", "small-0"), "manager_lost"),
    (lambda: VersionMismatch("3.11.7", "3.10.2"), "version_mismatch"),
    (lambda: bad_state(RuntimeError("all blocks are gone")), "executor_bad_state"),
    (lambda: TooManyJobFailuresError("3 of 3 blocks failed"), "executor_bad_state"),
    (lambda: SerializationError("app"), "serialization"),
    (lambda: DeserializationError("buffer of no known kind"), "serialization"),
    (lambda: InvalidResourceSpecification({"cores"}), "bad_input"),
    (lambda: DependencyError([(MemoryError(), "task 3")], 4), "dependency_failed"),
    (lambda: JoinError([(KeyError("x"), "task 7")], 8), "join_failed"),
]


@pytest.mark.parametrize(("make", "category"), FRAMEWORK_CASES, ids=[category for _, category in FRAMEWORK_CASES])
def test_what_parsl_reports_gets_its_category(fail, make, category):
    assert categorize(fail(make())).category == category


def test_a_failed_dependency_names_the_task_and_its_root_cause(fail):
    inner = DependencyError([(ZeroDivisionError("division by zero"), "task 1")], 2)
    found = categorize(fail(DependencyError([(inner, "task 2")], 3)))
    assert found.reason == "task 2 failed (ZeroDivisionError: division by zero)"
    assert found.resolvable == "no"


def test_a_module_that_the_submit_side_lacks_is_found_in_parsls_wrapper(fail, tmp_path, monkeypatch):
    (tmp_path / "octopus_remote_only.py").write_text("class RemoteError(Exception): pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    import octopus_remote_only

    sent = serialize(octopus_remote_only.RemoteError("x"))
    monkeypatch.delitem(sys.modules, "octopus_remote_only")
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != str(tmp_path)])
    try:
        deserialize(sent)
    except ModuleNotFoundError as error:  # as HighThroughputExecutor words it
        wrapped = DeserializationError(f"Received exception, but handling also threw an exception: {error}")
    found = categorize(fail(wrapped))
    assert (found.category, found.scope) == ("module_missing", "run")
    assert found.evidence["module"] == "octopus_remote_only"


def test_the_text_of_globus_compute_is_read_as_the_exception_that_it_quotes():
    class TaskExecutionFailed(Exception):
        """As globus_compute_sdk.errors.error_types has it: the text indented by one."""

        def __str__(self):
            return "\n" + textwrap.indent(self.args[0], " ")

    TaskExecutionFailed.__module__ = "globus_compute_sdk.errors.error_types"
    TaskExecutionFailed.__qualname__ = "TaskExecutionFailed"
    from octopus_plugins.events.exceptions import failure_details

    def failed(code):
        text = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stderr
        try:
            raise TaskExecutionFailed(text)
        except TaskExecutionFailed as error:
            return Failure(run_id="r", task_id="1", time=0.0, **failure_details(error))

    assert categorize(failed("x = bytearray(1 << 62)")).category == "memory_exhausted"
    assert categorize(failed("import octopus_no_such_module")).evidence["module"] == "octopus_no_such_module"
    assert categorize(failed("int('x')")).category == "code_error"
    assert categorize(failed("raise OSError(28, 'No space left on device')")).category == "disk_full"


def test_different_pythons_explain_what_cannot_be_read(fail):
    history = History()
    history.observe(Run(run_id="r", time=0.0, state="started", versions={"python": "3.11.7"}))
    error = DeserializationError("buffer of no known kind")
    assert categorize(fail(error, versions={"python": "3.9.1"}), history).category == "version_mismatch"
    assert categorize(fail(error, versions={"python": "3.11.2"}), history).category == "serialization"


def test_cancelled_means_the_futures_own_error(caught):
    assert isinstance(caught(cancelled), CancelledError)


def test_parsls_radio_that_breaks_in_the_worker_is_monitoring_lost(fail):
    radio = UDPRadioSender("octopus.invalid", 9, b"key", "sha512")
    try:
        found = categorize(fail(lambda: radio.send("hello")))
    finally:
        radio.sock.close()
    assert (found.category, found.rule) == ("monitoring_lost", "monitoring_lost.radio")


@pytest.mark.parametrize(
    ("message", "root"),
    [
        ("Error 1:\n\tsbatch: not found\n", "sbatch: not found"),
        (
            "Error 1:\n\tEXIT CODE: 127\n\tSTDOUT: loading\n\tSTDERR: init.sh: conda: command not found\nmore\n",
            "exit code 127, init.sh: conda: command not found",
        ),
        ("Error 1:\n\tJob failed\n\tEXIT CODE: 1\n\tSTDOUT: hello\n", "Job failed, exit code 1, hello"),
        ("Error 1:\n\tEXIT CODE: 1\nError 2:\n\tEXIT CODE: 2\n", "exit code 1"),
    ],
)
def test_an_executor_that_gave_up_says_what_broke_it(fail, message, root):
    found = categorize(fail(bad_state(message)))
    assert found.evidence["root"] == root
    assert root in found.reason


def test_the_cause_in_globus_computes_text_goes_before_its_wrapper(fail):
    code = "try:\n open('/no/such/mesh')\nexcept OSError as e:\n raise RuntimeError('no mesh') from e"
    text = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stderr
    found = categorize(fail(TaskExecutionFailed(text)))
    assert (found.category, found.evidence["subject"]) == ("bad_input", "/no/such/mesh")
    text = subprocess.run(
        [sys.executable, "-c", "import numpy; numpy.ones((10**7, 10**8))"], capture_output=True, text=True, check=False
    ).stderr
    assert categorize(fail(TaskExecutionFailed(text))).category == "memory_exhausted"
