"""Policies from TOML files and mappings, over the built-in defaults."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar

from octopus_plugins.errors import PolicyError
from octopus_plugins.wrath.policy.category import CategoryPolicy
from octopus_plugins.wrath.policy.policy import (
    PUBLISHED,
    BreakerPolicy,
    DenyPolicy,
    Policy,
    StragglerPolicy,
    TerminationPolicy,
)
from octopus_plugins.wrath.taxonomy.categories import CATEGORIES, Category

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_Section = TypeVar("_Section", Policy, CategoryPolicy, DenyPolicy, StragglerPolicy, BreakerPolicy, TerminationPolicy)

_TABLES = ("deny", "stragglers", "breaker", "termination")


def load_policy(path: str | os.PathLike[str], base: Policy | None = None) -> Policy:
    """Read a policy from a TOML file, over the built-in defaults.

    Args:
        path: The file. Without a ``name`` in it, the policy is named after the file.
        base: What holds where the file says nothing; default: the built-in policy.

    Returns:
        The policy.

    Raises:
        PolicyError: The file cannot be read, is no TOML, or has a wrong key or value; the message names the file, the
            key, the value and what is allowed.
    """
    file = os.fspath(path)
    try:
        with Path(file).open("rb") as stream:
            source = tomllib.load(stream)
    except OSError as error:
        name = f"; {PUBLISHED!r} is the only name of a policy, anything else is a file" if _is_name(file) else ""
        raise PolicyError(f"{file}: the policy cannot be read: {error.strerror or error}{name}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PolicyError(f"{file}: not a TOML file: {error}") from error
    return _read(source, file, replace(base or Policy(), name=Path(file).stem or "policy"))


def policy_from(
    source: str | os.PathLike[str] | Mapping[str, Any] | Policy | None,
    *,
    ladder: Sequence[str] | None = None,
    mode: str | None = None,
    base: Policy | None = None,
) -> Policy:
    """Make a policy of what a user gave.

    Args:
        source: None for the built-in policy, ``"published"`` for `Policy.published`, the path of a TOML file, a mapping
            of the same shape, or a policy.
        ladder: Executor labels, smallest first, in place of the policy's.
        mode: ``active`` or ``passive``, in place of the policy's.
        base: What holds where the source says nothing; default: the built-in policy.

    Returns:
        The policy.

    Raises:
        PolicyError: Something in it is wrong; the message names it.
    """
    base = Policy() if base is None else base
    if source is None:
        policy = base
    elif source == PUBLISHED:
        policy = replace(Policy.published(), budgets=base.budgets)
    elif isinstance(source, Policy):
        policy = source
    elif isinstance(source, Mapping):
        policy = _read(source, "policy", base)
    elif isinstance(source, (str, os.PathLike)):
        policy = load_policy(source, base)
    else:
        raise PolicyError(f"policy = {source!r}: must be None, the path of a TOML file, a mapping or a Policy")
    if ladder is not None:
        if isinstance(ladder, str):
            raise PolicyError(f"ladder = {ladder!r}: must be a list of executor labels, such as [{ladder!r}]")
        policy = replace(policy, ladder=tuple(ladder))
    if mode is not None:
        policy = replace(policy, mode=mode)
    return policy


def _is_name(file: str) -> bool:
    return not Path(file).suffix and Path(file).name == file


def _read(source: Mapping[str, Any], file: str, base: Policy) -> Policy:
    plain = dict(source)
    tables = {name: _section(plain.pop(name, {}), file, name) for name in ("categories", "budgets", *_TABLES)}
    sections: dict[str, Any] = {name: _update(getattr(base, name), tables[name], file, name) for name in _TABLES}
    entries: dict[Category, CategoryPolicy] = dict(base.categories)
    for name, entry in tables["categories"].items():
        if name not in CATEGORIES:
            raise PolicyError(f"{file}: categories.{name}: no such category{_nearest(name, CATEGORIES)}")
        category = CATEGORIES[name]
        where = f"categories.{name}"
        entries[category] = _update(base.entry(category), _section(entry, file, where), file, where)
    try:
        base = replace(base, budgets={**base.budgets, **tables["budgets"]}, categories=entries, **sections)
    except PolicyError as error:
        raise PolicyError(f"{file}: {error}") from None
    return _update(base, plain, file, "", sections=("categories", "budgets", *_TABLES))


def _section(value: Any, file: str, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise PolicyError(f"{file}: {where} = {value!r}: must be a table, written [{where}]")
    return value


def _update(
    base: _Section, changes: Mapping[str, Any], file: str, where: str, *, sections: tuple[str, ...] = ()
) -> _Section:
    known = [item.name for item in fields(base)]
    prefix = f"{where}." if where else ""
    for key in changes:
        if key not in known:
            raise PolicyError(f"{file}: {prefix}{key} = {changes[key]!r}: no such key{_nearest(key, known)}")
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in changes.items()}
    try:
        return replace(base, **values)
    except PolicyError as error:
        raise PolicyError(f"{file}: {prefix}{error}") from None


def _nearest(name: object, known: Iterable[str]) -> str:
    names = sorted(known)
    near = difflib.get_close_matches(str(name), names, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; allowed are {', '.join(names)}"
