"""What a worker does with one task, without the worker around it."""

from __future__ import annotations

import os
import pickle
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy
import pandas
import parsl.executors.high_throughput.monitoring_info as channel
import pytest
from parsl.app.errors import RemoteExceptionWrapper, wrap_error
from parsl.serialize import deserialize, pack_apply_message, serialize

from octopus_plugins.htex.observation import LARGE, is_large
from parsl_monitor import worker
from parsl_monitor.run.attempts import Attempt
from parsl_monitor.run.try_future import read
from parsl_monitor.worker import Observation, Settings

QUIET = tuple(Settings("run", "small", 0.0, 0.0))


@pytest.fixture(autouse=True)
def sent(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """A worker's channel; returns what was sent on it."""
    pipe: queue.Queue[bytes] = queue.Queue()
    monkeypatch.setattr(channel, "result_queue", pipe)
    monkeypatch.setattr(worker, "_current", None)
    monkeypatch.setenv("PARSL_WORKER_BLOCK_ID", "3")
    monkeypatch.setenv("PARSL_WORKER_POOL_ID", "pool")
    monkeypatch.setenv("PARSL_WORKER_RANK", "1")

    def messages() -> list[dict[str, Any]]:
        return [pickle.loads(pipe.get_nowait())["payload"][1] for _ in range(pipe.qsize())]

    yield messages


def execute(function: Callable[..., Any], *args: Any, settings: Any = QUIET) -> Observation:
    return Observation.unpacked(worker.execute(pack_apply_message(function, args, {}), 11, settings))


def outcome(observation: Observation) -> Any:
    assert observation.payload is not None
    return deserialize(observation.payload)


def test_a_result_comes_back_with_place_times_and_usage() -> None:
    before = time.time()
    observation = execute(lambda number: number + 1, 41)
    assert outcome(observation) == 42
    assert before <= observation.started <= observation.ended <= time.time()
    assert observation.usage["cpu_user"] >= 0 and observation.usage["peak_rss"] > 1 << 20
    assert observation.post_mortem is None
    place = {name: observation.place[name] for name in ("block", "manager", "worker_id", "pid")}
    assert place == {"block": "3", "manager": "pool", "worker_id": 1, "pid": os.getpid()}


@pytest.mark.parametrize(
    "large",
    [b"x" * LARGE, "x" * LARGE, numpy.zeros(LARGE), pandas.DataFrame({"a": range(LARGE)}), [b"x" * LARGE, 1]],
    ids=lambda value: type(value).__name__,
)
def test_a_large_result_is_left_to_parsl_to_write(large: Any) -> None:
    packed = worker.execute(pack_apply_message(lambda: large, (), {}), 11, QUIET)
    observation = Observation.unpacked(packed)
    assert observation.payload is None
    assert type(observation.result(packed)) is type(large)
    assert len(packed[1]) < 2_000, "the observation itself is small"
    attempt = Attempt("small")
    result, error = read(deserialize(serialize(packed)), attempt)
    assert error is None
    assert len(result) == len(large)
    assert attempt.place == observation.place


def test_an_exception_is_described_without_calling_the_users_code(monkeypatch: pytest.MonkeyPatch) -> None:
    class Blocking(ValueError):
        def __str__(self) -> str:
            raise SystemExit("asked")

        def __getattr__(self, name: str) -> Any:
            if name != "__notes__":
                raise SystemExit("asked")
            raise AttributeError(name)

    def fail() -> None:
        raise Blocking("no answer", 7)

    mortem = execute(fail).post_mortem
    assert mortem is not None
    assert mortem["error"]["exception"]["message"] == "no answer, 7"
    assert mortem["error"]["traceback"].splitlines()[-1].endswith("Blocking: no answer, 7")
    assert "in fail" in mortem["error"]["traceback"]


def test_python_s_own_exceptions_are_described_in_python_s_words() -> None:
    mortem = execute(lambda: open("/nonexistent/octopus")).post_mortem  # noqa: PTH123, SIM115
    assert mortem is not None
    assert mortem["error"]["exception"]["message"] == "[Errno 2] No such file or directory: '/nonexistent/octopus'"


def test_a_wide_table_costs_no_look_at_each_column() -> None:
    frame = pandas.DataFrame(numpy.zeros((20, 20_000)))
    started = time.process_time()
    assert is_large(frame)
    assert time.process_time() - started < 0.05, "a look at each column takes a quarter of a second"


def test_the_size_of_a_result_is_told_by_what_it_holds_and_never_by_the_users_code() -> None:
    class Hostile(list):  # type: ignore[type-arg]
        def __len__(self) -> int:
            raise RuntimeError("asked")

        def __iter__(self) -> Any:
            raise RuntimeError("asked")

    class Homeless:
        __module__ = None  # type: ignore[assignment]

    for small in (
        None,
        7,
        Homeless(),
        "text",
        [1, 2],
        {"a": 1},
        Hostile([1]),
        numpy.zeros(10),
        (b"x",),
        numpy.float64(1.0),
    ):
        assert not is_large(small)
    assert is_large({"a": numpy.zeros(LARGE)})


def test_an_exception_comes_back_with_its_traceback_and_a_post_mortem() -> None:
    def fail() -> None:
        raise KeyError("gone")

    observation = execute(fail)
    result = outcome(observation)
    assert isinstance(result, RemoteExceptionWrapper)
    error = result.get_exception()
    assert isinstance(error, KeyError) and error.args == ("gone",)
    assert error.__traceback__ is not None
    assert observation.post_mortem is not None
    assert set(observation.post_mortem) == {"versions", "limits", "node", "usage", "error"}


def test_a_recursion_without_end_is_the_task_s_failure_and_not_its_worker_s_end() -> None:
    def down(number: int) -> int:
        return down(number + 1)

    for function in (down, wrap_error(down)):  # as the worker meets it, and as an app wraps it
        error = outcome(execute(function, 0))
        assert isinstance(error, RemoteExceptionWrapper)
        with pytest.raises(RecursionError):
            error.reraise()


def test_a_result_that_cannot_be_sent_is_the_task_s_failure() -> None:
    observation = execute(lambda: (number for number in range(3)))
    result = outcome(observation)
    assert isinstance(result, RemoteExceptionWrapper)
    with pytest.raises(Exception, match="pickle"):
        result.reraise()
    assert observation.post_mortem is not None


def test_an_app_that_returns_a_wrapped_exception_has_failed() -> None:
    def bash_like() -> Any:
        try:
            raise OSError(5, "broken")
        except OSError:
            return RemoteExceptionWrapper(*sys.exc_info())

    assert execute(bash_like).post_mortem is not None


@pytest.mark.parametrize("end", [SystemExit(3), KeyboardInterrupt()])
def test_what_ends_a_worker_still_does(end: BaseException) -> None:
    def leave() -> None:
        raise end

    with pytest.raises(type(end)):
        execute(leave)
    assert worker._current is not None
    assert worker._current._running is None


def test_a_measurement_that_fails_leaves_the_failure_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Any:
        raise OSError("no /proc")

    monkeypatch.setattr("octopus_plugins.htex.worker.monitor.node_state", broken)
    observation = execute(lambda: 1 / 0)
    assert observation.post_mortem is not None
    assert "node" not in observation.post_mortem and "limits" in observation.post_mortem
    with pytest.raises(ZeroDivisionError):
        outcome(observation).reraise()


def test_processor_time_is_counted_from_the_start_of_the_try() -> None:
    while time.process_time() < 0.5:
        sum(range(1000))
    observation = execute(lambda: 1 / 0)
    assert observation.post_mortem is not None
    assert 0 <= observation.post_mortem["usage"]["cpu_user"] < 0.3
    assert observation.usage["cpu_user"] < 0.3


def test_a_worker_introduces_itself_once(sent: Callable[[], list[dict[str, Any]]]) -> None:
    for _ in range(3):
        execute(lambda: None)
    (message,) = sent()
    assert (message["kind"], message["executor"]) == ("worker", "small")


def test_without_periods_there_is_no_thread() -> None:
    before = threading.active_count()
    execute(lambda: None)
    assert threading.active_count() == before


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_is_a_worker_of_its_own(sent: Callable[[], list[dict[str, Any]]]) -> None:
    execute(lambda: None)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        place = execute(lambda: None).place
        os.write(writing, str(place["pid"]).encode())
        os._exit(0)
    os.close(writing)
    assert int(os.read(reading, 100)) == child != os.getpid()
    os.close(reading)
    assert os.waitpid(child, 0)[1] == 0


def test_outside_of_a_worker_pool_a_task_runs_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "result_queue", None)
    assert outcome(execute(lambda: "well")) == "well"


def test_what_travels_is_builtins_only() -> None:
    kind, fields = worker.execute(pack_apply_message(int, (), {}), 1, QUIET)
    assert (type(kind), type(fields)) == (str, bytes)


def test_an_exception_is_described_for_a_submit_side_that_lacks_its_class() -> None:
    post_mortem = execute(lambda: {}["absent"]).post_mortem
    assert post_mortem is not None
    assert post_mortem["error"]["exception"]["mro"] == ["KeyError", "LookupError", "Exception", "BaseException"]
    assert post_mortem["error"]["exception"]["message"] == "'absent'"
    assert "absent" in post_mortem["error"]["traceback"]


def test_what_cannot_be_described_is_answered_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("cannot be described")

    monkeypatch.setattr("parsl_monitor.worker.describe", broken)
    observation = execute(lambda: {}["absent"])
    assert observation.post_mortem is not None
    assert observation.post_mortem["error"] == {}
    with pytest.raises(KeyError, match="absent"):
        deserialize(observation.payload).reraise()
