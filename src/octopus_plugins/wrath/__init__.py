"""What to do about a failure: categorise it, then decide. Pure: no I/O, no clock, no random number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from octopus_plugins.lazy import lazily

if TYPE_CHECKING:
    from octopus_plugins.wrath.categorizer import categorize
    from octopus_plugins.wrath.category_docs import category_table
    from octopus_plugins.wrath.category_policy import CategoryPolicy
    from octopus_plugins.wrath.decider import decide
    from octopus_plugins.wrath.default_rules import DEFAULT_RULES
    from octopus_plugins.wrath.history import History
    from octopus_plugins.wrath.policy import BreakerPolicy, DenyPolicy, Policy, StragglerPolicy, TerminationPolicy
    from octopus_plugins.wrath.policy_docs import policy_page
    from octopus_plugins.wrath.policy_file import load_policy, policy_from
    from octopus_plugins.wrath.rules import Match, Rule, Trust
    from octopus_plugins.wrath.signatures import signature
    from octopus_plugins.wrath.standing import Standing
    from octopus_plugins.wrath.stragglers import Overdue, overdue
    from octopus_plugins.wrath.taxonomy import Category, Layer

_HOME = {
    "BreakerPolicy": "policy",
    "Category": "taxonomy",
    "CategoryPolicy": "category_policy",
    "DEFAULT_RULES": "default_rules",
    "DenyPolicy": "policy",
    "History": "history",
    "Layer": "taxonomy",
    "Match": "rules",
    "Overdue": "stragglers",
    "Policy": "policy",
    "Rule": "rules",
    "Standing": "standing",
    "TerminationPolicy": "policy",
    "StragglerPolicy": "policy",
    "Trust": "rules",
    "categorize": "categorizer",
    "category_table": "category_docs",
    "decide": "decider",
    "load_policy": "policy_file",
    "overdue": "stragglers",
    "policy_from": "policy_file",
    "policy_page": "policy_docs",
    "signature": "signatures",
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
