"""All built-in rules. Among equals in trust and type the more specific come first: the code's own fault is last."""

from __future__ import annotations

from octopus_plugins.wrath.rules import class_names, framework
from octopus_plugins.wrath.rules.application import code, data
from octopus_plugins.wrath.rules.environment import (
    credentials,
    filesystem,
    gpu,
    installation,
    network,
    node,
    services,
    setup,
)
from octopus_plugins.wrath.rules.rule import Rule
from octopus_plugins.wrath.rules.runtime import busy, deaths, limit, losses, memory

DEFAULT_RULES: tuple[Rule, ...] = (
    *framework.RULES,
    *memory.RULES,
    *limit.RULES,
    *losses.RULES,
    *gpu.RULES,
    *installation.RULES,
    *services.RULES,
    *credentials.RULES,
    *busy.RULES,
    *setup.RULES,
    *filesystem.RULES,
    *network.RULES,
    *deaths.RULES,
    *class_names.RULES,
    *node.RULES,
    *data.RULES,
    *code.RULES,
)
