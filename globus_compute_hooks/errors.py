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
