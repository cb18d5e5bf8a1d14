"""The end of an interchange's process, without an interchange: what counts as one, and who hears of it."""

from __future__ import annotations

import pickle
import signal
import subprocess
import threading
from concurrent.futures import Future
from typing import Any

import pytest
import zmq
from parsl.executors.errors import BadStateException
from parsl.jobs.states import JobState, JobStatus

from octopus_plugins.htex import interchange_end
from octopus_plugins.htex.interchange_end import InterchangeEndedError, Outgoing, Questions, watch


class Client:
    """In the place of Parsl's CommandClient: a socket that nobody answers unless the test does."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.zmq_socket = zmq.Context.instance().socket(zmq.REQ)
        self.zmq_socket.setsockopt(zmq.LINGER, 0)
        self.port = self.zmq_socket.bind_to_random_port("tcp://127.0.0.1")

    def run(self, message: Any, timeout_s: float | None = None) -> Any:
        return "with a limit", message, timeout_s


class Queue:
    """In the place of Parsl's TasksOutgoing, with nobody at its other end unless the test is."""

    def __init__(self) -> None:
        self.zmq_socket = zmq.Context.instance().socket(zmq.DEALER)
        self.zmq_socket.setsockopt(zmq.LINGER, 0)
        self.port = self.zmq_socket.bind_to_random_port("tcp://127.0.0.1")

    def put(self, message: Any) -> None:
        raise NotImplementedError


class Executor:
    """In the place of a HighThroughputExecutor: a child process for an interchange, and one open task."""

    label = "small"

    def __init__(self) -> None:
        self.interchange_proc = subprocess.Popen(["sleep", "600"])
        self.command_client = Client()
        self.outgoing_q = Queue()
        self.tasks: dict[int, Future[Any]] = {1: Future(), 2: Future()}
        self.tasks[2].set_result("done")
        self.blocks_to_job_id = {"0": "ended", "1": "job"}
        self.status_facade = {"0": JobStatus(JobState.COMPLETED), "1": JobStatus(JobState.RUNNING)}
        self.provider = self
        self.bad_state_is_set = False
        self.cancelled = threading.Event()

    def set_bad_state_and_fail_all(self, error: Exception) -> None:
        self.bad_state_is_set = True
        for future in self.tasks.values():
            future.set_exception(BadStateException(self, error))

    def cancel(self, jobs: list[str]) -> None:
        assert jobs == ["job"]
        self.cancelled.set()


@pytest.fixture
def executor(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(interchange_end, "GRACE_SECONDS", 0.1)
    executor = Executor()
    yield executor
    executor.interchange_proc.kill()
    executor.interchange_proc.wait()
    executor.command_client.zmq_socket.close()
    executor.outgoing_q.zmq_socket.close()


def watcher() -> threading.Thread:
    (thread,) = (thread for thread in threading.enumerate() if thread.name == "octopus-interchange-small")
    return thread


def test_its_tasks_fail_and_its_blocks_are_given_back(executor: Any) -> None:
    watch(executor, threading.Event())
    executor.interchange_proc.kill()
    assert executor.cancelled.wait(30)
    assert isinstance(executor.tasks[1].exception(timeout=0), BadStateException)
    assert "its interchange was ended by SIGKILL" in str(executor.tasks[1].exception(timeout=0))
    assert executor.tasks[2].result(timeout=0) == "done"


@pytest.mark.parametrize("how", ["Ctrl-C", "shutdown"])
def test_an_end_that_somebody_wanted_changes_nothing(executor: Any, how: str) -> None:
    ending = threading.Event()
    watch(executor, ending)
    thread = watcher()
    if how == "shutdown":
        ending.set()
    executor.interchange_proc.send_signal(signal.SIGINT if how == "Ctrl-C" else signal.SIGTERM)
    thread.join(30)
    assert not thread.is_alive()
    assert not executor.bad_state_is_set
    assert not executor.tasks[1].done()


def test_questions_are_answered_while_there_is_an_interchange_and_empty_afterwards(executor: Any) -> None:
    client = executor.command_client
    ask = Questions(client, executor.interchange_proc)
    assert ask("WORKER_BINDS", timeout_s=3) == ("with a limit", "WORKER_BINDS", 3)

    def answer() -> None:
        with zmq.Context.instance().socket(zmq.REP) as there:
            there.connect(f"tcp://127.0.0.1:{client.port}")
            there.send_pyobj(["answer", there.recv_pyobj()])

    thread = threading.Thread(target=answer)
    thread.start()
    assert ask("MANAGERS") == ["answer", "MANAGERS"]
    thread.join(30)
    executor.interchange_proc.kill()
    assert ask("MANAGERS") == []
    assert ask("CONNECTED_BLOCKS") == []


def test_a_task_waits_for_an_interchange_that_is_late_and_for_none_that_is_gone(executor: Any) -> None:
    outgoing = executor.outgoing_q
    send = Outgoing(outgoing, executor.interchange_proc)
    waiting = threading.Thread(target=send, args=({"task_id": 1},))
    waiting.start()
    with zmq.Context.instance().socket(zmq.DEALER) as there:
        there.connect(f"tcp://127.0.0.1:{outgoing.port}")
        assert there.recv_pyobj() == {"task_id": 1}
        waiting.join(30)
    executor.interchange_proc.kill()
    for number in range(5):
        send({"task_id": number})


def test_the_error_survives_the_way_between_processes() -> None:
    assert str(pickle.loads(pickle.dumps(InterchangeEndedError(3)))) == "its interchange ended with exit code 3"
