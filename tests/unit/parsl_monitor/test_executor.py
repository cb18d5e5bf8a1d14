"""What the mixin adds to an executor, on one that keeps what it is told to send."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from parsl.app.bash import BashApp
from parsl.app.errors import RemoteExceptionWrapper
from parsl.app.python import PythonApp, timeout
from parsl.data_provider.http import in_task_transfer_wrapper
from parsl.executors import HighThroughputExecutor
from parsl.executors.high_throughput.executor import DEFAULT_LAUNCH_CMD
from parsl.jobs.error_handlers import noop_error_handler, simple_error_handler, windowed_error_handler
from parsl.monitoring.remote import monitor_wrapper
from parsl.providers import LocalProvider

from octopus_plugins.errors import ConfigError
from octopus_plugins.htex.interchange.selector import OctopusManagerSelector
from octopus_plugins.htex.placement_hints import APP, AVOID, MAX_APP, PREFER
from octopus_plugins.htex.steering import SteeredSpecification, Steering
from octopus_plugins.wrath import Policy
from octopus_plugins.wrath.history.node_standing import Standing
from parsl_monitor.block_replacement import Revival
from parsl_monitor.errors import StragglerError
from parsl_monitor.executor import ATTEMPTS_PER_NODE, ObservedExecutor, _app_of, _has_own_payloads, _worker_lacks_us
from parsl_monitor.run.attempts import Attempt, Attempts
from parsl_monitor.run.cancellation import Halts
from parsl_monitor.run.try_future import TryFuture, copy, read


class Plain:
    """In the place of HighThroughputExecutor: numbers what is submitted, and keeps it."""

    def __init__(self, logdir: Path) -> None:
        self.label, self.logdir = "small", str(logdir)
        self.run_id: str | None = "run"
        self.monitoring_messages = None
        self.remote_monitoring_radio = None
        self.manager_selector: Any = None
        self.interchange_launch_cmd = ["interchange.py"]
        self.launch_cmd = "workers"
        self.provider: Any = LocalProvider()
        self.enable_mpi_mode = False
        self.encrypted = True
        self._task_counter = 0
        self.sent: list[tuple[dict[str, Any], bytes, Future[Any]]] = []
        self.arrived = threading.Event()
        self.stopped = False
        self.executor_exception: Exception | None = None

    @property
    def bad_state_is_set(self) -> bool:
        return self.executor_exception is not None

    def start(self) -> None: ...

    def submit(self, func: Any, resource_specification: Any, *args: Any, **kwargs: Any) -> Future[Any]:
        self.specification = resource_specification
        return self.submit_payload({}, b"task")

    def submit_payload(self, context: dict[str, Any], buffer: bytes) -> Future[Any]:
        if self.executor_exception is not None:
            raise self.executor_exception
        self._task_counter += 1
        future: Future[Any] = Future()
        self.sent.append((context, buffer, future))
        self.arrived.set()
        return future

    def shutdown(self) -> None:
        self.stopped = True


class Observed(ObservedExecutor, Plain): ...


def steered(steering: Steering, **specification: Any) -> SteeredSpecification:
    return SteeredSpecification(specification, steering)


class OwnProvider(LocalProvider):
    """A user's own."""


@pytest.fixture
def executor(tmp_path: Path) -> Iterator[Observed]:
    made = Observed(tmp_path)
    made.start()
    yield made
    made.shutdown()


def test_a_task_goes_out_at_once_and_its_result_comes_back(executor: Observed) -> None:
    future = executor.submit(print, {"priority": 3})
    ((context, _, inner),) = executor.sent
    assert context == {}
    assert executor.specification == {"priority": 3}
    inner.set_result(42)
    assert future.result(timeout=0) == 42


def test_an_executor_that_gave_up_refuses_the_thousandth_task_as_quickly_as_the_first(executor: Observed) -> None:
    executor.executor_exception = RuntimeError("gave up")
    lengths = []
    for _ in range(50):
        with pytest.raises(RuntimeError, match="gave up") as refused:
            executor.submit(print, {})
        assert refused.value is executor.executor_exception, "as in Parsl, the one exception of all tasks"
        lengths.append(len(list(traceback.walk_tb(refused.value.__traceback__))))
    assert lengths[0] == lengths[-1], "each raise makes its traceback longer, and Parsl logs all of it twice"


def test_steering_never_reaches_parsl(executor: Observed) -> None:
    given = steered(Steering(avoid_hosts=("node-a",)), priority=0)
    executor.submit(print, given)
    assert executor.specification == {"priority": 0}
    assert given == {"priority": 0}
    assert executor.sent[0][0]["resource_spec"] == {"priority": 0}
    hosts, until = executor.sent[0][0][AVOID]
    assert hosts == ("node-a",)
    assert until > time.time()


def test_the_front_of_the_queue_is_not_asked_of_an_executor_that_knows_no_priority(executor: Observed) -> None:
    executor.enable_mpi_mode = True
    executor.submit(print, steered(Steering()))
    assert "resource_spec" not in executor.sent[0][0]


def test_an_app_s_name_travels_with_its_tasks_where_a_hub_may_have_it_denied(executor: Observed) -> None:
    executor.submit(print, {})
    executor._octopus_steerable = True
    executor.submit(print, {})
    executor.submit_payload({}, b"nobody knows what")
    assert [context.get(APP) for context, *_ in executor.sent] == [None, "print", None]


def wrapped(name: str) -> Any:
    """Functions as Parsl's DataFlowKernel submits them, with what it calls their app."""

    def app(*args: Any, **kwargs: Any) -> str:
        return "true"

    if name == "bash":
        return BashApp(app).wrapped_remote_function
    if name == "walltime":
        return timeout(PythonApp(app).func, 3)
    if name == "monitored":
        function, *_ = monitor_wrapper(
            f=PythonApp(app).func,
            args=(),
            kwargs={},
            x_try_id=0,
            x_task_id=0,
            radio_config=None,
            run_id="",
            logging_level=0,
            sleep_dur=1.0,
            run_dir="",
            monitor_resources=False,
        )
        return function
    return PythonApp(app).func


@pytest.mark.parametrize("name", ["python", "bash", "walltime", "monitored"])
def test_the_name_of_an_app_is_the_one_in_parsl_s_record(name: str) -> None:
    assert _app_of(wrapped(name)) == PythonApp(wrapped("python")).__name__ == "app"


def test_what_stages_data_has_the_name_of_no_app() -> None:
    assert _app_of(in_task_transfer_wrapper(wrapped("python"), None, None)) is None


def test_what_has_no_name_or_a_long_one_is_no_problem() -> None:
    assert _app_of(partial(print, 1)) is None
    named = wrapped("python")
    named.__name__ = "x" * 1000
    assert _app_of(named) == "x" * MAX_APP


def test_one_task_s_steering_is_not_the_next_one_s(executor: Observed) -> None:
    executor.submit(print, steered(Steering(avoid_hosts=("node-a",))))
    executor.submit(print, {})
    assert executor.sent[1][0] == {}


def test_a_delayed_task_is_sent_after_its_delay(executor: Observed) -> None:
    begin = time.monotonic()
    future = executor.submit(print, steered(Steering(delay=1.0)))
    assert executor.sent == []
    assert executor.arrived.wait(30)
    assert time.monotonic() - begin >= 1.0
    assert executor.sent[0][0]["resource_spec"] == {"priority": 0}  # and then it is the first in the queue
    executor.sent[0][2].set_result("late")
    assert future.result(timeout=30) == "late"


def test_after_shutdown_what_was_delayed_is_not_sent(executor: Observed) -> None:
    executor.submit(print, steered(Steering(delay=2.0)))
    executor.shutdown()
    assert executor.stopped
    assert not executor.arrived.wait(2.2)


def test_a_delayed_task_that_cannot_be_sent_fails_with_the_reason(
    executor: Observed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Any, context: Any, buffer: Any) -> Any:
        raise ConnectionError("the interchange is gone")

    monkeypatch.setattr(Plain, "submit_payload", refuse)
    monkeypatch.setattr(Plain, "submit", lambda self, *_: self.submit_payload({}, b""))
    future = executor.submit(print, steered(Steering(delay=0.01)))
    with pytest.raises(ConnectionError, match="interchange is gone"):
        future.result(timeout=30)


def test_the_standing_of_nodes_reaches_the_selector(executor: Observed) -> None:
    assert isinstance(executor.manager_selector, OctopusManagerSelector)
    executor.steer(Standing(denied={"node-a": time.time() + 60}, probation=("node-b",), scores={"node-b": 0.1}))
    assert executor.manager_selector.shunned().denied == {"node-a"}
    assert executor.manager_selector.shunned().probation == {"node-b"}


def test_a_standing_that_says_nothing_new_is_not_written_again(executor: Observed, tmp_path: Path) -> None:
    executor.steer(Standing(scores={"node-a": 0.4}))
    (file,) = tmp_path.iterdir()
    before = file.stat()
    executor.steer(Standing(scores={"node-a": 0.41}))
    assert file.stat() == before
    executor.steer(Standing())
    assert file.stat().st_ino != before.st_ino


def test_with_nothing_to_tell_no_file_is_written(executor: Observed, tmp_path: Path) -> None:
    executor.steer(Standing(scores={"node-a": 1.0}))
    assert list(tmp_path.iterdir()) == []


def test_a_preference_travels_with_its_task(executor: Observed) -> None:
    before = time.time()
    executor.submit(print, steered(Steering(prefer_hosts=("node-b", "node-c"))))
    hosts, until = executor.sent[0][0][PREFER]
    assert hosts == ("node-b", "node-c")
    assert before < until < time.time() + 2.0


def test_a_retry_that_need_not_be_first_joins_the_queue(executor: Observed) -> None:
    executor.submit(print, steered(Steering(first=False)))
    assert "resource_spec" not in executor.sent[0][0]


def test_the_late_result_of_a_try_that_counted_as_lost_is_ignored(executor: Observed) -> None:
    executor._octopus_observe = True
    late = []
    for answer in ("result", "exception"):
        future = executor.submit(print, {})
        future.set_exception(StragglerError("node-a", 9.0, 1.0, 8.0))
        late.append((future, answer))
    for (future, answer), (_, _, inner) in zip(late, executor.sent, strict=True):
        if answer == "result":
            inner.set_result(b"whatever")
        else:
            inner.set_exception(ModuleNotFoundError("no", name="parsl_monitor"))
        assert isinstance(future.exception(timeout=0), StragglerError)
    assert len(executor.sent) == 2


@pytest.mark.parametrize("handler", [noop_error_handler, windowed_error_handler])
def test_lost_blocks_are_replaced_only_where_the_user_set_no_handler(tmp_path: Path, handler: Any) -> None:
    class Hub:
        """As far as a start needs it."""

        policy = Policy()
        logging_endpoint = None

        def register(self, executor: Any) -> None: ...

    def handler_after_start(given: Any, *, revive: bool = True) -> Any:
        made = Observed(tmp_path)
        made.monitoring_messages = SimpleNamespace(hub=Hub())
        made._start_observed = lambda hub: None  # type: ignore[method-assign]
        made.block_error_handler, made.revive = given, revive
        made.start()
        return made.block_error_handler

    assert isinstance(handler_after_start(simple_error_handler), Revival)
    assert handler_after_start(handler) is handler
    assert handler_after_start(simple_error_handler, revive=False) is simple_error_handler


def test_without_a_hub_parsl_s_own_handler_stays(executor: Observed) -> None:
    executor.block_error_handler = simple_error_handler
    executor.start()
    assert executor.block_error_handler is simple_error_handler


@pytest.mark.parametrize(
    ("provider", "node_agent", "started"),
    [
        (LocalProvider(), None, True),
        (LocalProvider(), False, False),
        (OwnProvider(), None, False),
        (OwnProvider(), True, True),
    ],
)
def test_pools_have_an_agent_where_the_command_passes_through(
    executor: Observed, provider: Any, node_agent: bool | None, started: bool
) -> None:
    executor.provider, executor.node_agent, executor.launch_cmd = provider, node_agent, DEFAULT_LAUNCH_CMD
    executor.start()
    assert ("octopus_plugins.htex.pool.launch" in executor.launch_cmd) is started


def test_a_launch_command_of_the_user_s_stays(executor: Observed) -> None:
    executor.provider, executor.node_agent = LocalProvider(), True
    executor.start()
    assert executor.launch_cmd == "workers"


def test_an_interchange_command_of_the_user_s_stays(executor: Observed) -> None:
    executor.interchange_launch_cmd = ["my-interchange"]
    executor.start()
    assert executor.interchange_launch_cmd == ["my-interchange"]


def test_an_interchange_of_the_user_s_is_given_no_grants(executor: Observed) -> None:
    # It would hand one to a worker as a task, whose answer nobody waits for: Parsl's thread of results ends at that.
    executor.interchange_launch_cmd = ["my-interchange"]
    executor.start()
    with pytest.raises(ConfigError, match="executor 'small' has an interchange_launch_cmd of its own"):
        executor.hand_grant(b"grant", secret=False)


def test_a_task_that_was_stopped_as_it_was_named_is_not_sent(executor: Observed) -> None:
    attempt = Attempt("small")
    outer = TryFuture(attempt)
    executor._send_named(attempt, {}, b"task", lambda: b"task", outer)
    outer.set_exception(RuntimeError("stopped"))
    assert outer._when_known is not None
    outer._when_known()
    assert executor.sent == []


@pytest.mark.parametrize(
    ("error", "lacks"),
    [
        (ModuleNotFoundError("no", name="parsl_monitor"), True),
        (ModuleNotFoundError("no", name="parsl_monitor.worker"), True),
        (ModuleNotFoundError("no", name="parsl_monitoring"), False),
        (ModuleNotFoundError("no", name="numpy"), False),
        (ModuleNotFoundError("no"), False),
        (ValueError("parsl_monitor"), False),
    ],
)
def test_only_our_own_absence_means_that_the_worker_lacks_us(error: BaseException, lacks: bool) -> None:
    assert _worker_lacks_us(error) is lacks


def test_a_result_that_cannot_be_read_fails_its_task_alone() -> None:
    attempt = Attempt("small")
    result, error = read(b"no pickle of Parsl's", attempt)
    assert result is None
    assert "cannot be read on the submit side" in str(error)
    assert attempt.unreadable


@pytest.mark.parametrize("packed", [("octopus-observation/1", b""), 7, None, ("octopus-observation/2", b"no pickle")])
def test_another_version_on_the_workers_fails_the_task_and_nothing_else(packed: object) -> None:
    assert "cannot be read on the submit side" in str(read(packed, Attempt("small"))[1])


def test_a_resubmission_that_is_refused_ends_the_task(executor: Observed, monkeypatch: pytest.MonkeyPatch) -> None:
    executor._octopus_observe = True
    future = executor.submit(print, {})
    inner = executor.sent[0][2]

    def refuse(self: Any, context: Any, buffer: Any) -> Any:
        raise ConnectionError("the executor is in a bad state")

    monkeypatch.setattr(Plain, "submit_payload", refuse)
    inner.set_exception(ModuleNotFoundError("no", name="parsl_monitor"))
    assert isinstance(future.exception(timeout=0), ConnectionError)


class Hub:
    """What a lacking worker is told to, with the nodes that the test says."""

    speculates = False

    def __init__(self) -> None:
        self.nodes, self.warned = 1, 0
        self.attempts, self.halts = Attempts(), Halts()

    def count_nodes(self, executor: str) -> int:
        return self.nodes

    def warn_unobserved(self, executor: str) -> None:
        self.warned += 1

    def hold(self, *_: object) -> bool:
        return False


def fail_for_want_of_us(executor: Observed, tasks: int) -> None:
    for _ in range(tasks):
        executor.submit(print, {})
        executor.sent[-1][2].set_exception(ModuleNotFoundError("no", name="parsl_monitor"))


def is_observed(executor: Observed) -> bool:
    executor.submit(print, {})
    return "task_executor" in executor.sent[-1][0]


def test_a_node_that_comes_later_is_observed_where_the_first_one_lacks_us(executor: Observed) -> None:
    hub: Any = Hub()
    executor._octopus_hub, executor._octopus_observable, executor._octopus_observe = hub, True, True
    fail_for_want_of_us(executor, ATTEMPTS_PER_NODE)
    assert not is_observed(executor)
    hub.nodes = 2
    executor.node_came()
    fail_for_want_of_us(executor, 2 * ATTEMPTS_PER_NODE - 1)
    assert is_observed(executor)
    fail_for_want_of_us(executor, 1)
    assert not is_observed(executor)
    assert hub.warned == 1


def test_what_a_task_raised_is_noted_and_passed_on_as_parsl_has_it() -> None:
    hub: Any = Hub()
    inner: Future[Any] = Future()
    attempt = Attempt("small")
    attempt.outer = outer = TryFuture(attempt, hub)
    error = ValueError("x")
    inner.set_result(RemoteExceptionWrapper(ValueError, error, None))
    copy(attempt, inner)
    assert isinstance(outer.result(timeout=0), RemoteExceptionWrapper)
    assert attempt.error() is error


def test_an_executor_that_submits_payloads_in_its_own_way_is_not_observed() -> None:
    class Own(HighThroughputExecutor):
        def submit_payload(self, context: dict[str, Any], buffer: bytes) -> Any:
            return super().submit_payload({**context, "task_executor": {"f": "mine.run"}}, buffer)

    class Named(HighThroughputExecutor):
        """A child that changes nothing of it."""

    assert _has_own_payloads(type("Mixed", (ObservedExecutor, Own), {}))
    assert not _has_own_payloads(type("Mixed", (ObservedExecutor, Named), {}))
