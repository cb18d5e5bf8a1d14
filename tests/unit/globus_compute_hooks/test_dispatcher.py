"""What the user of a task gets that moved from a silent endpoint to another one."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest
from globus_compute_sdk.errors import TaskExecutionFailed
from globus_compute_sdk.sdk.asynchronous.compute_future import ComputeFuture

from globus_compute_hooks.sdk import dispatcher
from globus_compute_hooks.sdk.dispatcher import Dispatcher
from globus_compute_hooks.sdk.submission import Submission

FIRST, SECOND = "first", "second"


@pytest.fixture
def moved(monkeypatch: pytest.MonkeyPatch) -> tuple[Dispatcher, Submission]:
    """A task that is tried at the second endpoint, while the first may still answer; what fails now is final."""
    ended = SimpleNamespace(mode="active", action="terminate")
    monkeypatch.setattr(dispatcher, "judged", lambda *_: (None, ended))
    monkeypatch.setattr(dispatcher, "explained", lambda error, *_: error)
    known = Dispatcher.__new__(Dispatcher)  # without its threads and its executor
    known._lock, known._diary = threading.RLock(), None  # type: ignore[assignment]
    asked: dict[str, Any] = {"resource_specification": None}
    submission = Submission("0", ComputeFuture(), "f", "f", (), {}, asked, asked, FIRST, 1.0, inner=ComputeFuture())
    submission.next_try(SECOND)
    assert submission.may_come
    return known, submission


def test_what_the_second_endpoint_answers_is_the_answer(moved: tuple[Dispatcher, Submission]) -> None:
    known, submission = moved
    known._failed(submission, 1, TaskExecutionFailed("ValueError: no such planet"))
    assert isinstance(submission.future.exception(timeout=0), TaskExecutionFailed)


def test_where_the_second_endpoint_takes_no_task_the_first_one_is_waited_for(
    moved: tuple[Dispatcher, Submission],
) -> None:
    known, submission = moved
    refused = RuntimeError("404")
    known._failed(submission, 1, refused)
    assert not submission.future.done()
    submission.earlier[0].set_exception(RuntimeError("lost"))
    known._failed(submission, 0, RuntimeError("lost"))
    assert submission.future.exception(timeout=0) is refused
