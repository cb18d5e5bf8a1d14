"""What an SDK's exception says of a try, and what its user gets in the end."""

from __future__ import annotations

from globus_compute_sdk.errors import SerializationError, TaskExecutionFailed

from globus_compute_hooks.errors import EndpointUnusableError, ResultsUnheardError
from globus_compute_hooks.sdk.endpoint_client import UNSENDABLE
from globus_compute_hooks.sdk.recorder import Diary
from globus_compute_hooks.sdk.submission import Submission
from octopus_plugins.events import Decision, Failure
from octopus_plugins.frameworks import failure_text

UNREADABLE = "Malformed or unexpected data structure"
"""How the SDK begins to say that a result has come that it cannot read."""

GLOBUS_ERROR = "globus_sdk.exc.base.GlobusError"
_API_ERROR = "globus_sdk.exc.api.GlobusAPIError"


def judged(diary: Diary, submission: Submission, error: BaseException) -> tuple[Failure, Decision]:
    """Tell a failed try, and what is to be done about it.

    Args:
        diary: Where it is told.
        submission: The try.
        error: What the SDK's future of it raises.
    """
    if isinstance(error, TaskExecutionFailed):
        return diary.failed(submission, text=str(error.remote_data))
    final = ""
    if str(error).startswith(UNREADABLE):
        final = "a result came that cannot be read here"
    elif submission.inner is not None and UNSENDABLE in submission.inner._metadata:
        final = "it cannot be sent anywhere"
        if not isinstance(error, SerializationError):
            error = SerializationError(f"{type(error).__name__}: {error}")  # type: ignore[no-untyped-call]
    elif is_a(error, _API_ERROR):
        error = _caused(EndpointUnusableError(submission.endpoint, str(error)), error)
    elif not isinstance(error, EndpointUnusableError) and not is_a(error, GLOBUS_ERROR):
        error = _caused(ResultsUnheardError(submission.endpoint, str(error)), error)
    return diary.failed(submission, error=error, final=final)


def explained(error: BaseException, failure: Failure, decision: Decision) -> BaseException:
    """What the user gets: the SDK's own exception, with what was decided beside it."""
    if isinstance(error, EndpointUnusableError):
        # To the user it is as if the endpoint had answered so.
        return TaskExecutionFailed(failure_text.told(f"{error}\n", failure, decision))
    line = failure_text.first_line(failure, decision)
    if line not in str(error):
        failure_text.note(error, line)
    return error


def is_a(error: BaseException | None, name: str) -> bool:
    """Whether an exception is of a class by its full name: its package need not be imported for that."""
    return any(f"{cls.__module__}.{cls.__qualname__}" == name for cls in type(error).__mro__)


def _caused(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error
