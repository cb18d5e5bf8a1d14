"""The policy's keys as tables for ``docs/policy.md``."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from typing import Any

from octopus_plugins.wrath.policy.category import DEFAULT_BUDGETS, CategoryPolicy
from octopus_plugins.wrath.policy.policy import BreakerPolicy, DenyPolicy, Policy, StragglerPolicy, TerminationPolicy
from octopus_plugins.wrath.taxonomy.categories import Category

BEGIN, END = "<!-- generated from the code -->", "<!-- end of what is generated -->"

_TABLES: tuple[tuple[str, type[Any]], ...] = (
    ("[categories.NAME]", CategoryPolicy),
    ("[deny]", DenyPolicy),
    ("[stragglers]", StragglerPolicy),
    ("[breaker]", BreakerPolicy),
    ("[termination]", TerminationPolicy),
)
_IN_TABLES = {"categories", "deny", "stragglers", "breaker", "budgets", "termination"}


def policy_page(page: str) -> str:
    """The page with its reference written anew, between the two marks.

    Args:
        page: The page as it is.
    """
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{policy_reference()}\n{END}{after}"


def policy_reference() -> str:
    """Every key with its default and meaning, and what each category has by default, as Markdown."""
    chapters = [_chapter("Top level", Policy, leave_out=_IN_TABLES), _budgets()]
    chapters += [_chapter(f"`{name}`", cls) for name, cls in _TABLES]
    return "\n".join([*chapters, _defaults()])


def _chapter(title: str, cls: type[Any], *, leave_out: frozenset[str] | set[str] = frozenset()) -> str:
    texts = _attributes(cls.__doc__ or "")
    summary = " ".join((cls.__doc__ or "").partition("Attributes:")[0].split())
    rows = [f"### {title}", "", summary.replace("``", "`"), "", "| key | default | meaning |", "|---|---|---|"]
    for item in fields(cls):
        if item.name not in leave_out:
            meaning = texts[item.name].replace("``", "`").replace("|", "\\|")
            rows.append(f"| `{item.name}` | `{_toml(_default(item))}` | {meaning} |")
    return "\n".join(rows) + "\n"


def _budgets() -> str:
    rows = [
        "### `[budgets]`",
        "",
        "Named budgets: how many failures of one task each pays for in the place of the run's own retries. A category "
        "is paid from the one that its `budget` names; once that is used up, the run's retries pay.",
        "",
        "| budget | default | categories |",
        "|---|---|---|",
    ]
    for name, count in DEFAULT_BUDGETS.items():
        paid = ", ".join(f"`{category}`" for category in Category if Policy.default().entry(category).budget == name)
        rows.append(f"| `{name}` | `{count}` | {paid} |")
    return "\n".join(rows) + "\n"


def _defaults() -> str:
    rows = [
        "### What each category has by default",
        "",
        "What differs from the defaults of `[categories.NAME]` above.",
        "",
        "| category | entry |",
        "|---|---|",
    ]
    plain = CategoryPolicy()
    for category in Category:
        entry = Policy.default().entry(category)
        changed = [
            f"`{item.name} = {_toml(getattr(entry, item.name))}`"
            for item in fields(entry)
            if getattr(entry, item.name) != getattr(plain, item.name)
        ]
        rows.append(f"| `{category}` | {', '.join(changed) or 'as above'} |")
    return "\n".join(rows) + "\n"


def _default(item: Field[Any]) -> Any:
    return item.default if item.default_factory is MISSING else item.default_factory()


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + "}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _attributes(docstring: str) -> dict[str, str]:
    """The texts of a Google-style ``Attributes:`` section, by name."""
    _, _, section = inspect.cleandoc(docstring).partition("Attributes:\n")
    entries = re.split(r"^ {4}(\w+): ", section, flags=re.MULTILINE)[1:]
    return {name: " ".join(text.split()) for name, text in zip(entries[::2], entries[1::2], strict=True)}
