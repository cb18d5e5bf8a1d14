"""Tasks that an earlier session took and never answered: told as lost, and answered in its place."""

from __future__ import annotations

import time
from pathlib import Path
from uuid import UUID

from globus_compute_common import messagepack
from globus_compute_common.messagepack.message_types import Result, ResultErrorDetails
from globus_compute_endpoint.endpoint.result_store import ResultStore

from globus_compute_hooks import translate
from globus_compute_hooks.attempts import Attempt
from globus_compute_hooks.errors import TaskLostError
from globus_compute_hooks.ledger import Entry, Ledger
from globus_compute_hooks.session import Session
from octopus_plugins.events import Failure
from octopus_plugins.frameworks import explanation

CODE = "TASK_LOST"
"""Globus Compute's code of the error that whoever submitted gets."""


def answer_lost(ledger: Ledger, session: Session, directory: str) -> None:
    """Tell of each task that it is lost, and leave its answer where the endpoint finds it and sends it.

    Args:
        ledger: Where the tasks are put down.
        session: The session that begins.
        directory: The endpoint's.
    """
    if not ledger.left:
        return
    store = ResultStore(endpoint_dir=Path(directory))
    for entry in ledger.left:
        failure, decision = session.lost(_failure(entry))
        told = explanation.told(f"{failure.exception.message}\n", failure, decision)
        details = ResultErrorDetails(code=CODE, user_message=failure.exception.message)
        answer = Result(task_id=UUID(entry.task_id), data=told, error_details=details, task_statuses=[])
        store[entry.task_id] = messagepack.pack(answer)
        ledger.done(entry.task_id)


def _failure(entry: Entry) -> Failure:
    attempt = Attempt(entry.task_id, None, {}, entry.submitted, entry.try_id, place=dict(entry.place))
    about = translate.subject(entry.run_id, entry.executor, attempt, entry.app)
    error = TaskLostError(entry.executor, entry.app)
    return translate.failure_event(about, attempt, time.time(), error=error)
