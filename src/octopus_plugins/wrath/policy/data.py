"""A policy as plain data and back, exactly: what a run tells of the policy that it was decided by."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import msgspec

from octopus_plugins.errors import PolicyError
from octopus_plugins.wrath.policy.category import CategoryPolicy
from octopus_plugins.wrath.policy.policy import Policy
from octopus_plugins.wrath.taxonomy.categories import CATEGORIES

_SECTIONS: dict[str, type[Any]] = {
    item.name: type(item.default) for item in fields(Policy) if is_dataclass(item.default)
}
"""The tables of a policy that are values of their own, such as ``deny``."""

_REMEDY = "replay with the version that recorded the run, or give a policy"


def policy_to_data(policy: Policy) -> dict[str, Any]:
    """The whole policy, defaults included, in the shape of a policy file.

    The defaults stand in it because those of another version may be others.

    Args:
        policy: The policy.

    Returns:
        Mappings, lists, texts, numbers and truth values only.
    """
    data: dict[str, Any] = _plain(policy)
    return data


def policy_from_data(data: Mapping[str, Any]) -> Policy:
    """The policy that was told as data; the inverse of `policy_to_data`, also by way of JSON.

    Unlike a policy file, which changes the defaults, the data replaces them: what it has is the policy, to the letter.

    Args:
        data: What `policy_to_data` gave. Untrusted: checked as a policy file is.

    Returns:
        The policy; what the data leaves out has the default of this version.

    Raises:
        PolicyError: A key or value is unknown here, as when a newer version told it.
    """
    values = dict(data)
    for name, section in _SECTIONS.items():
        if name in values:
            values[name] = _made(section, values[name], f"{name}.")
    entries = values.get("categories", {})
    if not isinstance(entries, Mapping):
        raise PolicyError(f"the recorded policy's categories = {entries!r}: must be a table")
    unknown = sorted(set(entries) - set(CATEGORIES))
    if unknown:
        raise PolicyError(
            f"the recorded policy's categories.{unknown[0]}: no such category in this version", remedy=_REMEDY
        )
    values["categories"] = {
        CATEGORIES[name]: _made(CategoryPolicy, entry, f"categories.{name}.") for name, entry in entries.items()
    }
    policy: Policy = _made(Policy, values, "")
    return policy


def policy_digest(policy: Policy) -> str:
    """A short fingerprint of a whole policy: the same for a policy that was told as data, another for any other."""
    return hashlib.sha256(msgspec.json.encode(policy_to_data(policy), order="deterministic")).hexdigest()[:16]


def _made(cls: type[Any], values: Any, where: str) -> Any:
    if not isinstance(values, Mapping):
        raise PolicyError(f"the recorded policy's {where[:-1]} = {values!r}: must be a table")
    unknown = sorted(set(values) - {item.name for item in fields(cls)})
    if unknown:
        raise PolicyError(f"the recorded policy's {where}{unknown[0]}: no such key in this version", remedy=_REMEDY)
    try:
        return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})
    except PolicyError as error:
        raise PolicyError(f"the recorded policy's {where}{error}") from error


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
