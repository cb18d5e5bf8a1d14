"""What an SDK's exception says of a try, what is decided, and what its user gets."""

from __future__ import annotations

from typing import Any

import pytest
from globus_compute_sdk.errors import TaskExecutionFailed
from globus_compute_sdk.sdk.asynchronous.compute_future import ComputeFuture

from globus_compute_hooks.errors import EndpointUnusableError
from globus_compute_hooks.sdk.endpoint_client import UNSENDABLE
from globus_compute_hooks.sdk.failures import explained, judged
from globus_compute_hooks.sdk.recorder import Diary
from globus_compute_hooks.sdk.submission import Submission
from octopus_plugins.events import Decision, Event, Failure, Run, Task
from octopus_plugins.frameworks import failure_text
from octopus_plugins.plugins import Plugins
from octopus_plugins.wrath import policy_from

A, B = "00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b"

WORKER_LOST = """Traceback (most recent call last):
  File "/opt/globus_compute_endpoint/engines/globus_compute.py", line 1, in submit
parsl.executors.high_throughput.errors.WorkerLost: Task failure due to loss of worker 0 on host node-3
"""
KEY_ERROR = """Traceback (most recent call last):
  File "<string>", line 2, in look_up
KeyError: 'omega'
"""


class Told:
    """In the place of the fabric: keeps what is emitted."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, *events: Event) -> None:
        self.events += (each for event in events for each in event.unfolded())

    def of(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def close(self, timeout: float | None = None) -> None:
        pass


@pytest.fixture
def told() -> Told:
    return Told()


def diary_of(told: Told, *ladder: str, retries: int | None = None) -> Diary:
    diary = Diary(told, Plugins(), policy_from(None, ladder=ladder), retries)  # type: ignore[arg-type]
    diary.begin("tests", ladder, {"python": "3"})
    return diary


def submission(endpoint: str = A, **options: Any) -> Submission:
    inner = ComputeFuture("11111111-1111-4111-8111-111111111111")
    return Submission(
        task_id="0",
        future=ComputeFuture(),
        function_id=A,
        app="look_up",
        args=(),
        kwargs={},
        asked={},
        options={"resource_specification": None, **options},
        endpoint=endpoint,
        submitted=1.0,
        inner=inner,
        user_endpoint="uep",
    )


def machine(**told: Any) -> str:
    import msgspec

    about = {"run_id": "r", "task_id": "t", "layer": "runtime", "category": "worker_lost", "resolvable": "unknown"}
    return f"Octopus: …\n{WORKER_LOST}{failure_text.MARK}{msgspec.json.encode({**about, **told}).decode()}"


def test_what_an_endpoint_says_of_a_failure_is_believed(told: Told) -> None:
    text = machine(
        category="memory_exhausted", host="node-3", pid=7, signal=9, found="it ate", reason="it ate; and so on"
    )
    failure, _ = judged(diary_of(told, A), submission(), TaskExecutionFailed(text))
    assert failure.categorization is not None
    assert (failure.categorization.category, failure.categorization.reason) == ("memory_exhausted", "it ate")
    assert (failure.host, failure.pid, failure.signal) == ("node-3", 7, 9)
    assert failure.labels["endpoint_run_id"] == "r"
    assert failure.labels["endpoint_id"] == "uep"


@pytest.mark.parametrize("wrong", [{"confidence": "much"}, {"layer": 3}, {"host": 7}, {"signal": "9"}])
def test_what_an_endpoint_says_in_another_form_than_it_should_is_passed_over(told: Told, wrong: dict[str, Any]) -> None:
    failure, _ = judged(diary_of(told, A), submission(), TaskExecutionFailed(machine(**wrong)))
    assert failure.categorization is not None
    assert failure.categorization.category == "worker_lost"


def test_what_an_endpoint_says_cannot_succeed_is_not_tried_again(told: Told) -> None:
    _, decision = judged(diary_of(told, A, B), submission(), TaskExecutionFailed(machine(resolvable="no")))
    assert decision.action == "terminate"


def test_a_failure_is_categorised_by_its_text_where_the_endpoint_says_nothing(told: Told) -> None:
    failure, decision = judged(diary_of(told, A, B), submission(), TaskExecutionFailed(WORKER_LOST))
    assert (decision.category, decision.action) == ("worker_lost", "retry")
    assert failure.id in {event.id for event in told.of(Failure)}
    assert [task.state for task in told.of(Task)] == ["fail_retryable"]


def test_what_a_function_raised_is_not_tried_again(told: Told) -> None:
    error = TaskExecutionFailed(KEY_ERROR)
    failure, decision = judged(diary_of(told, A, B), submission(), error)
    assert (decision.category, decision.action) == ("code_error", "terminate")
    assert "a function's own errors are not retried" in decision.reason
    assert explained(error, failure, decision) is error
    assert [task.state for task in told.of(Task)] == ["failed"]


def test_the_tasks_of_a_lost_endpoint_climb_the_ladder_and_fail_at_its_end(told: Told) -> None:
    diary = diary_of(told, A, B)
    lost = EndpointUnusableError(A, "it has given no sign of life for 3.1 s, and gave one every 1 s before")
    one = submission()
    _, decision = judged(diary, one, lost)
    assert (decision.category, decision.action) == ("executor_bad_state", "retry")
    assert decision.placement is not None
    assert decision.placement.executor == B
    one.next_try(B)
    last = EndpointUnusableError(B, "it has given no sign of life for 3.1 s, and gave one every 1 s before")
    failure, decision = judged(diary, one, last)
    assert decision.action == "terminate"
    error = explained(last, failure, decision)
    assert isinstance(error, TaskExecutionFailed)
    assert error.remote_data.startswith("Octopus: executor_bad_state, terminate: executor ")
    told_again = failure_text.read(error.remote_data)
    assert told_again is not None
    assert told_again["action"] == "terminate"


def test_a_result_that_nobody_listens_for_any_more_is_asked_for_again(told: Told) -> None:
    failure, decision = judged(diary_of(told, A), submission(), RuntimeError("SDK thread quit unexpectedly."))
    assert (decision.category, decision.action) == ("lost_task", "retry")
    assert failure.causes[0].message == "SDK thread quit unexpectedly."


def test_a_result_that_cannot_be_read_here_is_not_asked_for_again(told: Told) -> None:
    error = Exception("Malformed or unexpected data structure. Data: …")
    _, decision = judged(diary_of(told, A, B), submission(), error)
    assert decision.action == "terminate"


def test_arguments_that_cannot_be_sent_are_not_sent_again(told: Told) -> None:
    one = submission()
    assert one.inner is not None
    one.inner._metadata[UNSENDABLE] = True
    error = TypeError("cannot pickle '_thread.lock' object")
    failure, decision = judged(diary_of(told, A, B), one, error)
    assert (decision.category, decision.action) == ("serialization", "terminate")
    assert explained(error, failure, decision) is error


def test_retries_bound_what_the_policy_allows(told: Told) -> None:
    diary, one = diary_of(told, A, retries=0), submission()
    _, decision = judged(diary, one, TaskExecutionFailed(WORKER_LOST))
    assert decision.action == "terminate"


def test_an_endpoint_that_is_used_later_is_told_as_a_pool(told: Told) -> None:
    diary = diary_of(told, A)
    diary.take(diary.event(submission(B), "pending", 1.0))
    runs = told.of(Run)
    assert [[pool.label for pool in run.pools] for run in runs] == [[], [A], [A, B]]
    assert len({run.id for run in runs}) == 3


def test_a_decision_of_a_plugin_holds(told: Told) -> None:
    from octopus_plugins import hookimpl

    class Never:
        @hookimpl
        def octopus_decision(self, failure: Failure, decision: Decision) -> Decision:
            from msgspec.structs import replace

            return replace(decision, action="terminate", placement=None, reason="never")

    plugins = Plugins()
    plugins.register(Never())
    diary = Diary(told, plugins, policy_from(None), None)  # type: ignore[arg-type]
    _, decision = judged(diary, submission(), TaskExecutionFailed(WORKER_LOST))
    assert (decision.action, decision.reason) == ("terminate", "never")
