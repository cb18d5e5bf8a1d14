"""The ``octopus:`` block of an engine: what it may hold, checked, with errors that name key and value."""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from octopus_plugins.config import OctopusConfig
from octopus_plugins.errors import ConfigError, OctopusError
from octopus_plugins.wrath import Policy, policy_from
from octopus_plugins.wrath.policy.policy import MODES

WHERE = "engine.octopus"
"""Where the block stands in the endpoint's configuration, for people."""

LONGEST_PERIOD = 3600.0

WITHIN_RETRIES = Policy(budgets=dict.fromkeys(Policy().budgets, 0))
"""Where the owner's policy says nothing, ``max_retries_on_system_failure`` is the end, whatever the cause."""


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How an engine reports and decides.

    Attributes:
        config: How to reach the topics.
        policy: What to do about which failure.
        heartbeat_period: Seconds between heartbeats of the endpoint and of its nodes; 0 sends none.
        sample_period: Seconds between resource samples of a running task; 0 takes none.
        own_policy: Whether the policy is the owner's; then it also decides about what a function itself raised.
    """

    config: OctopusConfig
    policy: Policy
    heartbeat_period: float = 10.0
    sample_period: float = 1.0
    own_policy: bool = False

    @classmethod
    def of(cls, block: Any) -> EngineOptions:
        """Read the block.

        Args:
            block: A mapping: ``policy`` (a TOML file, or its content), ``mode``, ``heartbeat_period``,
                ``sample_period``, and any setting of OctopusConfig. None is an empty one.

        Raises:
            ConfigError: A key is unknown or a value is wrong; names both.
        """
        block = {} if block is None else block
        if not isinstance(block, Mapping):
            raise ConfigError(f"{WHERE} = {block!r}: must be a mapping of options")
        own = {name: block[name] for name in _OWN if name in block}
        settings = {name: value for name, value in block.items() if name not in _OWN}
        known = (*_OWN, *OctopusConfig.model_fields)
        for name in settings:
            if name not in OctopusConfig.model_fields:
                close = difflib.get_close_matches(str(name), known, n=1)
                hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(sorted(known))}"
                raise ConfigError(f"{WHERE}.{name}: there is no such option", remedy=hint)
        periods = {name: _period(name, own[name]) for name in ("heartbeat_period", "sample_period") if name in own}
        policy = own.get("policy")
        return cls(_config(settings), _policy(policy, own.get("mode")), own_policy=policy is not None, **periods)


_OWN = ("heartbeat_period", "mode", "policy", "sample_period")


def _period(name: str, value: Any) -> float:
    sound = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not sound or not 0 <= value <= LONGEST_PERIOD:
        raise ConfigError(f"{WHERE}.{name} = {value!r}: must be seconds, from 0 to {LONGEST_PERIOD:.0f}")
    return float(value)


def _config(settings: Mapping[str, Any]) -> OctopusConfig:
    try:
        return OctopusConfig.load(**settings)
    except OctopusError as error:
        raise ConfigError(f"{WHERE}: {error}") from error


def _policy(source: Any, mode: Any) -> Policy:
    if mode is not None and mode not in MODES:
        raise ConfigError(f"{WHERE}.mode = {mode!r}: must be one of {', '.join(MODES)}")
    if source is not None and not isinstance(source, (str, os.PathLike, Mapping)):
        raise ConfigError(f"{WHERE}.policy = {source!r}: must be the name of a TOML file, or what one would hold")
    try:
        return policy_from(source, mode=mode, base=WITHIN_RETRIES)
    except OctopusError as error:
        raise ConfigError(f"{WHERE}.policy: {error}") from error
