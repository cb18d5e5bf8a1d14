"""What a task fails with where Globus Compute itself has no error for it."""

from __future__ import annotations


class TaskLostError(Exception):
    """The endpoint that had received a task ended before it could answer.

    Args:
        endpoint: The endpoint.
        app: The function, where its name is known.
    """

    def __init__(self, endpoint: str, app: str | None = None) -> None:
        super().__init__(endpoint, app)
        self.endpoint, self.app = endpoint, app

    def __str__(self) -> str:
        return f"endpoint {self.endpoint} ended while it had {self.app or 'the task'}, and nobody can answer any more"


class EndpointUnusableError(Exception):
    """An endpoint cannot be given tasks, or does not answer any more for those that it was given.

    Args:
        endpoint: The endpoint.
        reason: What is known, as a clause.
    """

    def __init__(self, endpoint: str, reason: str) -> None:
        super().__init__(endpoint, reason)
        self.endpoint, self.reason = endpoint, reason

    def __str__(self) -> str:
        return f"endpoint {self.endpoint} failed due to: {self.reason}"


class ResultsUnheardError(Exception):
    """The SDK no longer listens for the result of a task that it has submitted.

    Args:
        endpoint: The endpoint.
        reason: What is known, as a clause.
    """

    def __init__(self, endpoint: str, reason: str) -> None:
        super().__init__(endpoint, reason)
        self.endpoint, self.reason = endpoint, reason

    def __str__(self) -> str:
        return f"the SDK stopped listening for the result of a task at endpoint {self.endpoint}: {self.reason}"
