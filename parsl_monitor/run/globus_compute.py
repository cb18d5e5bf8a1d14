"""Tasks that Parsl sends to endpoints of Globus Compute: which task is which there.

Parsl's GlobusComputeExecutor wraps an executor of the SDK, whose futures learn the id that Globus Compute has for their
task when a batch of them was sent: nobody waits for it here, it is read when there is something to tell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, cast

from octopus_plugins.exception_description import own_attributes
from octopus_plugins.frameworks import failure_text

if TYPE_CHECKING:
    from parsl_monitor.hub import OctopusMonitoringHub
    from parsl_monitor.run.attempts import Attempt

TASK, ENDPOINT, RUN = failure_text.COMPUTE_TASK, "endpoint_id", "endpoint_run_id"
"""Labels of events: the task's id and the endpoint's at Globus Compute, and the run that the endpoint tells of it."""


class ComputeExecutor:
    """Mixed into Parsl's GlobusComputeExecutor: remembers the future of each task.

    Attributes:
        octopus_hub: The run's hub, which is given to the class: Parsl gives this kind of executor none.
    """

    label: str
    executor: Any
    octopus_hub: OctopusMonitoringHub

    def submit(
        self, func: Callable[..., Any], resource_specification: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Future[Any]:
        """Submit a task; see GlobusComputeExecutor.submit."""
        future = cast("Future[Any]", cast(Any, super()).submit(func, resource_specification, *args, **kwargs))
        attempt = self.octopus_hub.attempts.open(self.label)
        attempt.remote = Remote(future, str(self.executor.endpoint_id))
        return future


class Remote:
    """A try at an endpoint of Globus Compute.

    Args:
        future: The SDK's.
        endpoint: Id of the endpoint.
    """

    def __init__(self, future: Any, endpoint: str) -> None:
        self._future, self._endpoint = future, endpoint

    def labels(self) -> dict[str, str]:
        """What is known of it so far."""
        task_id = getattr(self._future, "task_id", None)
        return {ENDPOINT: self._endpoint} | ({TASK: str(task_id)} if task_id else {})


def labels_of(attempt: Attempt | None) -> dict[str, str]:
    """Labels of the events of a try; none where it runs elsewhere."""
    return attempt.remote.labels() if attempt is not None and attempt.remote is not None else {}


def explained(error: BaseException) -> Mapping[str, Any]:
    """What an endpoint with OctopusEngine says of a failure; empty where it is no such failure."""
    text = own_attributes(error).get("remote_data")  # of the SDK's TaskExecutionFailed
    return (failure_text.read(text) or {}) if isinstance(text, str) else {}


def labels_told(machine: Mapping[str, Any]) -> dict[str, str]:
    """The same labels, from what an endpoint says of a failure."""
    names = {TASK: "task_id", ENDPOINT: "endpoint_id", RUN: "run_id"}
    return {label: str(machine[name]) for label, name in names.items() if machine.get(name)}
