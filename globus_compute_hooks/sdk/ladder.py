"""The ladder of an executor: its endpoints in order, each with what is different there."""

from __future__ import annotations

import difflib
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from octopus_plugins.errors import ConfigError

Ladder: TypeAlias = "Sequence[str | uuid.UUID | Mapping[str, Any]]"
"""Ids of endpoints; or mappings with ``endpoint_id`` and the options of Executor that are others there."""

ENDPOINT = "endpoint_id"
OPTIONS = ("resource_specification", "user_endpoint_config")
"""What one endpoint may be given otherwise than another."""


def steps_of(ladder: Ladder | None) -> dict[str, dict[str, Any]]:
    """What is different at each endpoint of a ladder, by its id as the SDK writes it; in the order of the ladder.

    Raises:
        ConfigError: The ladder is wrong; names what.
    """
    if isinstance(ladder, (str, Mapping)):
        raise ConfigError(f"ladder = {ladder!r}: must be a list of endpoint ids, such as [{ladder!r}]")
    found: dict[str, dict[str, Any]] = {}
    for number, step in enumerate(ladder or ()):
        where = f"ladder[{number}]"
        told = dict(step) if isinstance(step, Mapping) else {ENDPOINT: step}
        for name, value in told.items():
            _check(where, name, value)
        try:
            endpoint = str(uuid.UUID(str(told.pop(ENDPOINT, None))))
        except ValueError as error:
            raise ConfigError(
                f"{where} = {step!r}: must be the id of an endpoint, or have it as {ENDPOINT!r}"
            ) from error
        if endpoint in found:
            raise ConfigError(f"{where} = {endpoint!r}: is on the ladder twice")
        found[endpoint] = told
    return found


def _check(where: str, name: Any, value: Any) -> None:
    known = (ENDPOINT, *OPTIONS)
    if name not in known:
        close = difflib.get_close_matches(str(name), known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"
        raise ConfigError(f"{where}.{name}: there is no such option", remedy=hint)
    if name in OPTIONS and value is not None and not isinstance(value, dict):
        raise ConfigError(f"{where}.{name} = {value!r}: must be a dict, as for the executor")
