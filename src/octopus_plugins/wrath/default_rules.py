"""All built-in rules. Among equals in trust and type the more specific come first: the code's own fault is last."""

from __future__ import annotations

from octopus_plugins.wrath import (
    application_rules,
    data_rules,
    environment_rules,
    framework_rules,
    installation_rules,
    limit_rules,
    memory_rules,
    runtime_rules,
)
from octopus_plugins.wrath.rules import Rule

DEFAULT_RULES: tuple[Rule, ...] = (
    *framework_rules.RULES,
    *memory_rules.RULES,
    *limit_rules.RULES,
    *runtime_rules.RULES,
    *installation_rules.RULES,
    *environment_rules.RULES,
    *data_rules.RULES,
    *application_rules.RULES,
)
