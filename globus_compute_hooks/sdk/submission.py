"""What was submitted through an OctopusExecutor, and where it is at the moment."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from globus_compute_sdk.sdk.asynchronous.compute_future import ComputeFuture


@dataclass(slots=True, eq=False)
class Submission:
    """One function call that was submitted, and its current try.

    Attributes:
        task_id: Its number within the run of its executor.
        future: What the user holds.
        function_id: Globus Compute's id of the function.
        app: The function's name, where it is known.
        args: Positional arguments.
        kwargs: Keyword arguments.
        asked: The executor's options at the time: ``resource_specification``, ``user_endpoint_config``,
            ``result_serializers``, ``task_group_id``.
        options: The same as they are for the current try.
        endpoint: The endpoint of the current try, as the user names it.
        submitted: When it was submitted, Unix seconds.
        try_id: The number of the current try.
        inner: The SDK's own future of the current try; None while it is not handed over.
        sender: What the current try was handed to.
        user_endpoint: The id under which the endpoint reports, once the web service has named it.
        launched: When the web service took the try, Unix seconds; None before.
        given: The same by the monotonic clock.
        charged: What its failures were charged so far.
        lost: Whether the current try was told lost.
        over: Whether the user has an answer.
        earlier: The SDK's futures of earlier tries that may still be answered.
        error: What the user gets unless one of them is answered; None while the current try may be.
    """

    task_id: str
    future: ComputeFuture
    function_id: str
    app: str | None
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    asked: dict[str, Any]
    options: dict[str, Any]
    endpoint: str
    submitted: float
    try_id: int = 0
    inner: ComputeFuture | None = None
    sender: Any = None
    user_endpoint: str | None = None
    launched: float | None = None
    given: float | None = None
    charged: float = 0.0
    lost: bool = False
    over: bool = False
    earlier: list[ComputeFuture] = field(default_factory=list)
    error: BaseException | None = None

    @property
    def compute_id(self) -> str | None:
        """Globus Compute's id of the current try's task, once the web service has given it."""
        return self.inner.task_id if self.inner is not None else None

    @property
    def may_come(self) -> bool:
        """Whether an earlier try, at an endpoint that fell silent, may still be answered."""
        return any(not future.done() for future in self.earlier)

    def next_try(self, endpoint: str) -> None:
        """Leave the try that failed for one at that endpoint."""
        if self.inner is not None and not self.inner.done():
            self.earlier.append(self.inner)
        self.try_id += 1
        self.endpoint = endpoint
        self.inner = self.sender = self.user_endpoint = self.launched = self.given = None
        self.lost = False

    def back_to(self, try_id: int, endpoint: str, inner: ComputeFuture) -> None:
        """An earlier try was answered after all."""
        if self.inner is not None:
            self.earlier.append(self.inner)
        self.try_id, self.endpoint, self.inner = try_id, endpoint, inner
        self.user_endpoint = str(inner._metadata["endpoint_uuid"])
