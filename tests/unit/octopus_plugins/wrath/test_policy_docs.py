from __future__ import annotations

import re
from dataclasses import fields

from octopus_plugins.wrath import CategoryPolicy, Policy, policy_from, policy_page
from octopus_plugins.wrath.policy.toml_file import tomllib


def page(request):
    return (request.config.rootpath / "docs" / "policy.md").read_text(encoding="utf-8")


def test_the_reference_is_that_of_the_code(request):
    text = page(request)
    assert policy_page(text) == text, "docs/policy.md is stale: run docs/generate.py"


def test_every_key_is_in_the_reference(request):
    text, policy = page(request), Policy()
    for section in (policy, policy.deny, policy.stragglers, policy.breaker, CategoryPolicy()):
        for item in fields(section):
            assert f"`{item.name}`" in text or f"`[{item.name}" in text, item.name


def test_the_example_is_a_policy(request):
    example = re.search(r"```toml\n(.*?)```", page(request), re.DOTALL)
    assert example is not None
    policy = policy_from(tomllib.loads(example.group(1)))
    assert (policy.ladder, policy.budgets["outside"], policy.termination.cost) == (("small", "large"), 20, 3600)
