"""The categories as a table for ``docs/categories.md``."""

from __future__ import annotations

from octopus_plugins.wrath.policy.category import CategoryPolicy
from octopus_plugins.wrath.policy.policy import Policy
from octopus_plugins.wrath.rules.default import DEFAULT_RULES
from octopus_plugins.wrath.taxonomy.categories import Category


def category_table() -> str:
    """All categories as a Markdown table: layer, meaning, scope, rules, default policy."""
    rows = [
        "| layer | category | what it means | scope | recognised by | default policy |",
        "|---|---|---|---|---|---|",
    ]
    policy = Policy.default()
    for category in Category:
        rules = "<br>".join(f"{rule.doc} ({rule.trust.name})" for rule in DEFAULT_RULES if rule.category is category)
        rows.append(
            f"| {category.layer} | `{category}` | {category.doc} | {category.scope} | {rules or '–'} "
            f"| {_policy(policy.entry(category))} |"
        )
    return "\n".join(rows) + "\n"


def _policy(entry: CategoryPolicy) -> str:
    if entry.action == "terminate":
        return "terminate"
    parts = [" → ".join(entry.rungs).replace("_", " ")]
    parts.append(f"at most {entry.maximum_attempts} tries" if entry.maximum_attempts else "no limit of tries")
    if entry.initial_interval:
        parts.append(
            f"wait {entry.initial_interval:g} s × {entry.backoff_coefficient:g}ⁿ ≤ {entry.maximum_interval:g} s"
        )
    if entry.charge != 1:
        parts.append(f"charge {entry.charge:g}")
    if entry.budget:
        parts.append(f"paid from budget `{entry.budget}`")
    for key, factor in entry.resources.items():
        parts.append(f"{key} × {factor:g} where the task asks for it")
    if entry.confirm:
        parts.append(f"terminate once confirmed {entry.confirm} times")
    return "; ".join(parts)
