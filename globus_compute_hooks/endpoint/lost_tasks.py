"""Tasks that an earlier session took and never answered: told as lost, and answered in its place.

Not before it is certain. What the host had taken and not acknowledged (it acknowledges every half second) the queue of
the web service delivers again, as soon as the next session consumes it; and only one session can at a time. So the
queue must have been consumed for a while, and all that came of it be in the engine's hands. A task that comes again is
no longer lost.

The answers go out on a connection of their own. Among the host's own results they would count as its work, and a host
that has forwarded as many results as it has received tasks takes itself for idle, whatever still runs.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

from globus_compute_common import messagepack
from globus_compute_common.messagepack.message_types import Result, ResultErrorDetails
from globus_compute_endpoint.endpoint.interchange import EndpointInterchange
from globus_compute_endpoint.endpoint.rabbit_mq import ResultPublisher, TaskQueueSubscriber

from globus_compute_hooks import translate
from globus_compute_hooks.endpoint.attempts import Attempt
from globus_compute_hooks.endpoint.open_tasks import Entry, Ledger
from globus_compute_hooks.endpoint.session import Session
from globus_compute_hooks.errors import TaskLostError
from octopus_plugins.events import Failure
from octopus_plugins.frameworks import failure_text
from octopus_plugins.frameworks.caller import find_caller

logger = logging.getLogger("octopus_plugins")

CODE = "TASK_LOST"
"""Globus Compute's code of the error that whoever submitted gets."""

REDELIVERY_SECONDS = 30.0
"""How long the queue must have been consumed without a break: sixty times the host's period of acknowledging."""

LOOK_SECONDS = 0.5

SEND_SECONDS = 60.0
"""How long the web service's queue may take to confirm an answer; an answer that it does not is sent again later."""


def interchange_of(engine: Any) -> EndpointInterchange | None:
    """The host's interchange that is just starting an engine: no engine is told whose it is."""
    return find_caller(EndpointInterchange, lambda caller: caller.engine is engine)


class Consumption:
    """For how long the host has been consuming its queue of tasks.

    Args:
        interchange: The host's.
        clock: Monotonic seconds.
    """

    def __init__(self, interchange: EndpointInterchange, clock: Callable[[], float] = time.monotonic) -> None:
        self._pending, self._clock = interchange.pending_task_queue, clock
        self._since: tuple[str, float] | None = None

    def seconds(self) -> float:
        """Seconds without a break; to be asked often. 0 where it does not consume, or has not yet taken in all."""
        tag = next((found for thread in threading.enumerate() if (found := _consumer(thread, self._pending))), None)
        if tag is None:
            self._since = None
            return 0.0
        if self._since is None or self._since[0] != tag:
            self._since = tag, self._clock()
        return self._clock() - self._since[1] if self._pending.empty() else 0.0


def _consumer(thread: threading.Thread, pending: Any) -> str | None:
    """The tag under which a thread consumes the queue of tasks; None where it does not."""
    if isinstance(thread, TaskQueueSubscriber) and thread.pending_task_queue is pending:
        tag: str | None = thread._consumer_tag
        return tag
    return None


class Losses:
    """Answers for what is lost, in a thread, as soon as it is certain.

    Args:
        ledger: Where the tasks are put down.
        session: The session that begins.
        interchange: The host's.
        ending: Set when the session ends; what is not answered by then is left to the next one.
    """

    def __init__(
        self, ledger: Ledger, session: Session, interchange: EndpointInterchange, ending: threading.Event
    ) -> None:
        self._ledger, self._session, self._ending = ledger, session, ending
        self._credentials = interchange.result_q_info_fn
        self._consumption = Consumption(interchange)
        self._publisher: ResultPublisher | None = None

    def start(self) -> None:
        """Begin to wait, where an earlier session left something."""
        if self._ledger.left:
            threading.Thread(target=self._run, name="octopus-losses", daemon=True).start()

    def _run(self) -> None:
        try:
            while self._consumption.seconds() < REDELIVERY_SECONDS:
                if not self._ledger.left or self._ending.wait(LOOK_SECONDS):
                    return
            while (entry := self._ledger.claim()) is not None:
                self._answer(entry)
        except Exception:
            # The border of the thread: the endpoint goes on, and whoever waits for these tasks waits as without us.
            logger.exception("tasks that an earlier session took are not told lost")
        finally:
            if self._publisher is not None:
                self._publisher.stop(block=False)

    def _answer(self, entry: Entry) -> None:
        failure, decision = self._session.lost(_failure(entry))
        told = failure_text.told(f"{failure.exception.message}\n", failure, decision)
        details = ResultErrorDetails(code=CODE, user_message=failure.exception.message)
        message = messagepack.pack(
            Result(task_id=UUID(entry.task_id), data=told, error_details=details, task_statuses=[])
        )
        while not self._is_sent(message):
            if self._ending.is_set():
                return
        self._ledger.done(entry.task_id)

    def _is_sent(self, message: bytes) -> bool:
        if self._publisher is None or not self._publisher.is_alive():
            self._publisher = ResultPublisher(cred_fn=self._credentials)
            self._publisher.start()
        sent = self._publisher.publish(message)
        deadline = time.monotonic() + SEND_SECONDS
        while not sent.done() and time.monotonic() < deadline:
            if self._ending.wait(LOOK_SECONDS):
                return False
        return sent.done() and sent.exception() is None


def _failure(entry: Entry) -> Failure:
    attempt = Attempt(entry.task_id, None, {}, entry.submitted, entry.try_id, place=dict(entry.place))
    about = translate.subject(entry.run_id, entry.executor, attempt, entry.app)
    error = TaskLostError(entry.executor, entry.app)
    return translate.failure_event(about, attempt, time.time(), error=error)
