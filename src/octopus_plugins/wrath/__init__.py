"""What to do about a failure: categorise it, then decide. Pure: no I/O, no clock, no random number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from octopus_plugins.lazy import lazily

if TYPE_CHECKING:
    from octopus_plugins.wrath.decisions.decider import decide
    from octopus_plugins.wrath.decisions.stragglers import Overdue, overdue
    from octopus_plugins.wrath.history.fingerprint import signature
    from octopus_plugins.wrath.history.history import History
    from octopus_plugins.wrath.history.node_standing import Standing
    from octopus_plugins.wrath.policy.category import CategoryPolicy
    from octopus_plugins.wrath.policy.documentation import policy_page
    from octopus_plugins.wrath.policy.policy import (
        BreakerPolicy,
        DenyPolicy,
        Policy,
        StragglerPolicy,
        TerminationPolicy,
    )
    from octopus_plugins.wrath.policy.toml_file import load_policy, policy_from
    from octopus_plugins.wrath.rules.categorizer import categorize
    from octopus_plugins.wrath.rules.default import DEFAULT_RULES
    from octopus_plugins.wrath.rules.rule import Match, Rule, Trust
    from octopus_plugins.wrath.taxonomy.categories import Category, Layer
    from octopus_plugins.wrath.taxonomy.documentation import category_table

_HOME = {
    "BreakerPolicy": "policy.policy",
    "Category": "taxonomy.categories",
    "CategoryPolicy": "policy.category",
    "DEFAULT_RULES": "rules.default",
    "DenyPolicy": "policy.policy",
    "History": "history.history",
    "Layer": "taxonomy.categories",
    "Match": "rules.rule",
    "Overdue": "decisions.stragglers",
    "Policy": "policy.policy",
    "Rule": "rules.rule",
    "Standing": "history.node_standing",
    "TerminationPolicy": "policy.policy",
    "StragglerPolicy": "policy.policy",
    "Trust": "rules.rule",
    "categorize": "rules.categorizer",
    "category_table": "taxonomy.documentation",
    "decide": "decisions.decider",
    "load_policy": "policy.toml_file",
    "overdue": "decisions.stragglers",
    "policy_from": "policy.toml_file",
    "policy_page": "policy.documentation",
    "signature": "history.fingerprint",
}

__all__ = [
    "DEFAULT_RULES",
    "BreakerPolicy",
    "Category",
    "CategoryPolicy",
    "DenyPolicy",
    "History",
    "Layer",
    "Match",
    "Overdue",
    "Policy",
    "Rule",
    "Standing",
    "StragglerPolicy",
    "TerminationPolicy",
    "Trust",
    "categorize",
    "category_table",
    "decide",
    "load_policy",
    "overdue",
    "policy_from",
    "policy_page",
    "signature",
]


__getattr__, __dir__ = lazily(__name__, _HOME)
