"""The end of an interchange that was to go on: nothing it held is answered any more, and Parsl takes no notice.

In stock Parsl its tasks wait for ever. So does the end of the run: a thread has asked the interchange for its managers,
and waits for the answer. And so do the tasks of other executors, once one more is submitted to this one. That the
process has ended is certain: the tasks fail as those of any executor in a bad state, its blocks are given back, and
whoever asks for managers is told that there are none.
"""

from __future__ import annotations

import logging
import signal
import threading
from concurrent.futures import InvalidStateError
from contextlib import suppress
from typing import Any

import zmq
from parsl.executors.errors import BadStateException

from octopus_plugins.wrath.rules.signals import signal_name

logger = logging.getLogger("octopus_plugins")

LOOK_SECONDS = 0.5
"""Between two looks whether the interchange is there, while an answer is awaited."""

GRACE_SECONDS = 2.0
"""For results that it had sent before it ended."""

INTERRUPTED = (-signal.SIGINT, 128 + signal.SIGINT)
"""How it ends where a person presses Ctrl-C: the terminal tells it as well as the run, which ends by itself."""


class InterchangeEndedError(Exception):
    """The interchange of an executor ended while the executor was in use.

    Args:
        status: Its exit status; negative for a signal, as in ``subprocess``.
    """

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status

    def __str__(self) -> str:
        how = f"was ended by {signal_name(-self.status)}" if self.status < 0 else f"ended with exit code {self.status}"
        return f"its interchange {how}"


class Questions:
    """In the place of ``CommandClient.run``: asks the interchange, and waits for the answer while there is one.

    Args:
        client: The executor's CommandClient.
        process: The interchange's ``Popen``.
    """

    def __init__(self, client: Any, process: Any) -> None:
        self._client, self._process, self._run = client, process, client.run

    def __call__(self, message: Any, *arguments: Any, **options: Any) -> Any:
        """Ask; empty where nobody is left to answer."""
        if arguments or options:
            return self._run(message, *arguments, **options)  # it has a limit of its own
        client = self._client
        with client._lock:
            if self._is_ready(zmq.POLLOUT):
                client.zmq_socket.send_pyobj(message, copy=True)
                if self._is_ready(zmq.POLLIN):
                    return client.zmq_socket.recv_pyobj()
        return []

    def _is_ready(self, events: int) -> bool:
        while not self._client.zmq_socket.poll(timeout=LOOK_SECONDS * 1000, flags=events):
            if self._process.poll() is not None:
                return False
        return True


class Outgoing:
    """In the place of ``TasksOutgoing.put``: sends to the interchange while there is one.

    Parsl's own waits for ever where the interchange is gone, in the one thread that launches all executors' tasks.

    Args:
        outgoing: The executor's TasksOutgoing.
        process: The interchange's ``Popen``.
    """

    def __init__(self, outgoing: Any, process: Any) -> None:
        self._outgoing, self._process = outgoing, process

    def __call__(self, message: Any) -> None:
        """Send; what cannot be sent any more fails with all that the executor has."""
        socket = self._outgoing.zmq_socket
        while True:
            try:
                socket.send_pyobj(message, flags=zmq.NOBLOCK)
            except zmq.Again:
                if self._process.poll() is not None:
                    return
                socket.poll(timeout=LOOK_SECONDS * 1000, flags=zmq.POLLOUT)
            else:
                return


def watch(executor: Any, ending: threading.Event) -> None:
    """Fail the tasks of an executor once its interchange ends, unless the executor ends.

    Args:
        executor: A HighThroughputExecutor that has started an interchange of its own.
        ending: Set before the executor ends its interchange.
    """
    executor.command_client.run = Questions(executor.command_client, executor.interchange_proc)
    executor.outgoing_q.put = Outgoing(executor.outgoing_q, executor.interchange_proc)
    threading.Thread(
        target=_wait, args=(executor, ending), name=f"octopus-interchange-{executor.label}", daemon=True
    ).start()


def _wait(executor: Any, ending: threading.Event) -> None:
    status = executor.interchange_proc.wait()
    if status in INTERRUPTED or ending.wait(GRACE_SECONDS) or executor.bad_state_is_set:
        return
    error = InterchangeEndedError(status)
    try:
        with suppress(InvalidStateError, RuntimeError):  # a task ended or came meanwhile
            executor.set_bad_state_and_fail_all(error)
        _fail_open(executor, error)
        # Not those that have ended: what a provider knows them by may be another's by now.
        left = [block for block, status in executor.status_facade.items() if not status.terminal]
        executor.provider.cancel([executor.blocks_to_job_id[block] for block in left])
        _fail_open(executor, error)  # what was just being submitted
    except Exception:
        # The border of the thread: what is not failed here waits, as in stock Parsl.
        logger.exception("executor %r: the end of its interchange is not told to all of its tasks", executor.label)


def _fail_open(executor: Any, error: InterchangeEndedError) -> None:
    for future in list(executor.tasks.values()):
        with suppress(InvalidStateError):
            future.set_exception(BadStateException(executor, error))
