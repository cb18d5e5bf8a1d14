"""All built-in rules. Among equals in trust and type the more specific come first: the code's own fault is last."""

from __future__ import annotations

from octopus_plugins.wrath.rules import application, data, environment, framework, installation, limit, memory, runtime
from octopus_plugins.wrath.rules.rule import Rule

DEFAULT_RULES: tuple[Rule, ...] = (
    *framework.RULES,
    *memory.RULES,
    *limit.RULES,
    *runtime.RULES,
    *installation.RULES,
    *environment.RULES,
    *data.RULES,
    *application.RULES,
)
