"""Which run is meant: by its id, by the beginning of it, or as the last one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from octopus_plugins.errors import ConfigError
from octopus_plugins.streams.ask import runs
from octopus_plugins.streams.query import LAST, is_begin_of_id

if TYPE_CHECKING:
    from octopus_plugins.config import OctopusConfig


def find_run(config: OctopusConfig, run_id: str) -> str | None:
    """The whole id of a run.

    Args:
        config: Which brokers and topics.
        run_id: Its id, the first eight characters of that or more, or ``last`` for the newest.

    Returns:
        The id; as it was given where the topics have no run that begins so; None where there is no last one.

    Raises:
        ConfigError: Several runs begin so.
    """
    if run_id == LAST:
        newest = max(runs(state="started", config=config), key=lambda run: run.time, default=None)
        return newest.run_id if newest is not None else None
    if not is_begin_of_id(run_id):
        return run_id
    found = {run.run_id for run in runs(run_id=run_id, config=config)}
    if len(found) > 1:
        raise ConfigError(f"{run_id!r} is the beginning of {len(found)} runs: {', '.join(sorted(found))}")
    return found.pop() if found else run_id
