from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from globus_compute_sdk.errors import TaskExecutionFailed
from parsl.data_provider.files import File
from parsl.executors import HighThroughputExecutor, ThreadPoolExecutor
from parsl.launchers import SimpleLauncher
from parsl.providers import LocalProvider, SlurmProvider

from octopus_plugins.events.failure import MAX_MESSAGE, MAX_STDERR
from octopus_plugins.htex.reports import pool_of
from parsl_monitor.run.attempts import Attempt
from parsl_monitor.run.translate import Try, failure_event, reported_failure, stderr_tail, worker_events

SUBJECT = Try("run", "7", 1, app="app", executor="small")


def test_the_end_of_standard_error_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "err"
    file.write_bytes(b"start" + b"x" * 3 * MAX_STDERR + b"the end")
    tail = stderr_tail(str(file))
    assert tail is not None
    assert len(tail) == MAX_STDERR
    assert tail.endswith("the end")


def test_standard_error_that_is_no_text_is_read_all_the_same(tmp_path: Path) -> None:
    file = tmp_path / "err"
    file.write_bytes(b"\xff\xfe oh \xc3")
    assert "oh" in (stderr_tail(file) or "")


def test_parsl_s_pair_of_file_and_mode_is_understood(tmp_path: Path) -> None:
    (tmp_path / "err").write_text("said", encoding="utf-8")
    assert stderr_tail((str(tmp_path / "err"), "w")) == "said"


@pytest.mark.parametrize("target", [None, "", (), 7, "/nonexistent/err", "nul\0byte", "/proc", object()])
def test_standard_error_that_cannot_be_read_is_none(target: Any) -> None:
    assert stderr_tail(target) is None


def test_standard_error_that_would_wait_for_a_writer_is_not_opened(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "err")
    assert stderr_tail(tmp_path / "err") is None


def test_a_pool_has_what_its_configuration_says() -> None:
    provider = SlurmProvider(
        partition="short", nodes_per_block=4, max_blocks=3, walltime="02:30:00", launcher=SimpleLauncher()
    )
    executor = HighThroughputExecutor(
        label="cluster", address="127.0.0.1", max_workers_per_node=8, mem_per_worker=1.5, provider=provider
    )
    pool = pool_of(executor, steerable=True)
    assert (pool.label, pool.kind, pool.steerable) == ("cluster", "HighThroughputExecutor", True)
    assert pool.workers_per_node == 8
    assert pool.memory_per_worker == 1536 << 20
    assert pool.walltime == 9000
    assert pool.maximum_nodes == 12


def test_what_a_configuration_leaves_open_is_not_known() -> None:
    pool = pool_of(HighThroughputExecutor(address="127.0.0.1", provider=LocalProvider()), steerable=False)
    assert (pool.workers_per_node, pool.memory_per_worker, pool.walltime) == (None, None, None)
    threads = pool_of(ThreadPoolExecutor(label="threads"), steerable=False)
    assert (threads.label, threads.workers_per_node, threads.maximum_nodes) == ("threads", None, None)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("00:10:00", 600.0), ("100:00:01", 360001.0), ("1-00:00:00", None), ("soon", None), ("", None)],
)
def test_walltimes_that_can_be_read_are(text: str, seconds: float | None) -> None:
    executor = HighThroughputExecutor(address="127.0.0.1", provider=SlurmProvider(partition="p", walltime=text))
    assert pool_of(executor, steerable=False).walltime == seconds


class Hostile(Exception):
    """Raises whatever is asked of it."""

    def __str__(self) -> str:
        raise RuntimeError("no words")

    def __repr__(self) -> str:
        raise RuntimeError("no picture")

    @property
    def exitcode(self) -> int:
        raise RuntimeError("no code")


class Long(Exception):
    def __str__(self) -> str:
        return "x" * 5_000_000


def test_a_hostile_exception_becomes_a_failure_all_the_same() -> None:
    failure = failure_event(SUBJECT, Hostile(), None, 1.0)
    assert failure.exception.type.endswith("Hostile")
    assert failure.exit_code is None


def test_a_long_message_is_cut() -> None:
    assert len(failure_event(SUBJECT, Long(), None, 1.0).exception.message) <= MAX_MESSAGE


def test_a_cycle_of_causes_ends() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    failure = failure_event(SUBJECT, first, None, 1.0)
    assert [cause.message for cause in failure.causes] == ["second"]


def test_what_the_worker_saw_is_in_the_failure() -> None:
    attempt = Attempt(
        "small",
        place={"host": "node", "pid": 5},
        started=1.0,
        ended=2.0,
        usage={"time": 1.5, "rss": 10, "cpu_user": 0.5},
        post_mortem={
            "usage": {"time": 2.0, "rss": 20},
            "limits": {"open_files": 9},
            "node": {"time": 2.0, "load": 0.5},
        },
    )
    failure = failure_event(Try("run", "7", 1, place=attempt.place), ValueError("x"), attempt, 3.0)
    assert (failure.host, failure.pid, failure.started, failure.ended) == ("node", 5, 1.0, 2.0)
    assert failure.usage and (failure.usage.rss, failure.usage.cpu_user, failure.usage.time) == (20, 0.5, 2.0)
    assert failure.limits and failure.limits.open_files == 9
    assert failure.node and failure.node.load == 0.5


@pytest.mark.parametrize(
    ("report", "kind", "message"),
    [
        ("ValueError('no luck')", "ValueError", "'no luck'"),
        ("JoinError(1, [])", "parsl.dataflow.errors.JoinError", "1, []"),
        ("RunHaltedError('wrong input')", "parsl_monitor.errors.RunHaltedError", "wrong input"),
        ("RunHaltedError(broken", "parsl_monitor.errors.RunHaltedError", "broken"),
        ("something odd", "something odd", "something odd"),
        ("", "unknown", ""),
    ],
)
def test_a_failure_that_is_only_reported_in_words_is_read(report: str, kind: str, message: str) -> None:
    failure = reported_failure(SUBJECT, report, None, 1.0)
    assert (failure.exception.type, failure.exception.message) == (kind, message)


def test_a_start_that_was_told_is_not_told_again() -> None:
    attempt = Attempt("small", started=1.0, ended=2.0, usage={"time": 2.0}, announced=True)
    (told,) = worker_events(SUBJECT, attempt)
    assert [event.state for event in told.unfolded()] == ["running_ended"]
    attempt.announced = False
    (told,) = worker_events(SUBJECT, attempt)
    assert [(event.state, event.time) for event in told.unfolded()] == [("running", 1.0), ("running_ended", 2.0)]
    assert [event.usage is not None for event in told.unfolded()] == [False, True]


def test_the_end_of_standard_error_has_no_secret(tmp_path: Path) -> None:
    file = tmp_path / "err.txt"
    file.write_text("git https://ci:SEKRET@h/x.git\nfatal: Authorization: Bearer SEKRETSEKRET\n")
    tail = stderr_tail(str(file))
    assert tail is not None
    assert "SEKRET" not in tail
    assert tail.startswith("git https://h/x.git\nfatal: ")


def test_standard_error_on_a_remote_host_has_no_tail_here() -> None:
    assert stderr_tail(File("https://example.org/err.txt")) is None


def test_an_exception_whose_class_is_missing_here_is_told_as_its_worker_described_it() -> None:
    described = {
        "exception": {"type": "site.LicenceError", "mro": ["site.LicenceError", "Exception"], "message": "no seat"},
        "causes": [{"type": "OSError", "mro": ["OSError", "Exception"], "attributes": {"errno": 111}}],
        "traceback": "Traceback: no seat",
        "exit_code": None,
        "signal": None,
    }
    attempt = Attempt("small", post_mortem={"error": described}, unreadable=True)
    failure = failure_event(Try("run", "1", 0), ModuleNotFoundError("No module named 'site'"), attempt, 1.0)
    assert (failure.exception.type, failure.exception.message) == ("site.LicenceError", "no seat")
    assert [cause.type for cause in failure.causes] == ["OSError"]
    assert failure.traceback == "Traceback: no seat"


def test_a_failure_at_an_endpoint_is_told_as_the_endpoint_had_it() -> None:
    machine = (
        '{"run_id":"s1","task_id":"c7","endpoint_id":"e0","layer":"runtime","category":"worker_lost","scope":"worker",'
        '"host":"n1","pid":12,"signal":9,"exception":"parsl.WorkerLost","found":"lost",'
        '"reason":"lost; not retried: why","rule":"r"}'
    )
    error = TaskExecutionFailed(f"Octopus: worker_lost on n1, terminate: lost\nTraceback\noctopus-failure: {machine}")
    failure = failure_event(SUBJECT, error, None, 1.0)
    assert (failure.host, failure.pid, failure.signal) == ("n1", 12, 9)
    assert failure.labels == {"compute_task_id": "c7", "endpoint_id": "e0", "endpoint_run_id": "s1"}
    assert failure.exception.type == "parsl.WorkerLost"
    assert failure.exception.mro[1].endswith("TaskExecutionFailed")
    assert failure.exception.message == "Octopus: worker_lost on n1, terminate: lost"
    assert "Traceback" in (failure.traceback or "")
    assert failure.categorization is not None
    assert (failure.categorization.category, failure.categorization.reason) == ("worker_lost", "lost")


def test_what_an_endpoint_says_is_taken_only_as_far_as_it_can_be_read() -> None:
    error = TaskExecutionFailed('text\noctopus-failure: {"category":7,"layer":"runtime","host":["n1"],"exception":3}')
    failure = failure_event(SUBJECT, error, None, 1.0)
    assert (failure.host, failure.categorization, failure.labels) == (SUBJECT.place.get("host"), None, {})
    assert failure.exception.type.endswith("TaskExecutionFailed")
