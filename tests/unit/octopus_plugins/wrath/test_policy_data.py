"""A policy told as data is that policy."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octopus_plugins.errors import PolicyError
from octopus_plugins.wrath import Category, CategoryPolicy, DenyPolicy, Policy, TerminationPolicy
from octopus_plugins.wrath.policy.data import policy_digest, policy_from_data, policy_to_data

numbers = st.floats(1, 1e6) | st.integers(1, 1000)  # a policy file may have 60 or 60.0, and a decision shows which
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "action": st.sampled_from(["retry", "terminate"]),
    "maximum_attempts": st.integers(1, 9),
    "initial_interval": st.floats(1, 60) | st.integers(1, 60),
    "backoff_coefficient": numbers,
    "maximum_interval": st.floats(60, 1e6) | st.integers(60, 1000),
    "rungs": st.permutations(["same_node", "other_node", "other_executor"]).map(lambda names: tuple(names[:2])),
    "charge": numbers | st.just(0) | st.just(0.0),
    "confirm": st.integers(0, 5),
    "resources": st.dictionaries(st.sampled_from(["memory", "cores", "disk"]), numbers),
    "budget": st.sampled_from(["", "outside"]),
    "name": st.text("aé-", min_size=1, max_size=8),
    "mode": st.sampled_from(["active", "passive"]),
    "ladder": st.permutations(["small", "large", "huge"]).map(tuple) | st.just(()),
    "maximum_failures": st.integers(0, 99),
    "budgets": st.dictionaries(st.just("outside"), st.integers(0, 99)),
    "enabled": st.booleans(),
    "duration": numbers,
    "maximum_duration": numbers,
    "cooldown": numbers,
    "floor": st.floats(0, 1),
    "tasks": st.integers(1, 9),
    "level": st.floats(0, 1),
    "recovery": st.floats(0, 1),
    "on_systemic_failure": st.sampled_from(["warn", "pause", "halt"]),
    "speculate": st.booleans(),
    "cost": numbers,
    "nodes": st.integers(1, 9),
    "pause": numbers,
    "factor": numbers,
    "minimum": numbers,
    "silence": numbers,
    "minimum_tasks": st.integers(1, 99),
    "share": st.floats(0.5, 1),
}


def policies(cls: type[Any] = Policy) -> st.SearchStrategy[Any]:
    """Any policy, or any of its parts."""
    values: dict[str, st.SearchStrategy[Any]] = {}
    for item in fields(cls):
        if hasattr(item.default, "__dataclass_fields__"):
            values[item.name] = policies(type(item.default))
        elif item.name == "categories":
            values[item.name] = st.dictionaries(st.sampled_from(list(Category)), policies(CategoryPolicy), max_size=4)
        else:
            values[item.name] = VALUES[item.name]
    return st.fixed_dictionaries(values).map(lambda made: cls(**made))


@settings(deadline=None)
@given(policies())
def test_what_is_told_by_way_of_json_is_the_same_policy(policy: Policy) -> None:
    told = msgspec.json.encode(policy_to_data(policy))
    back = policy_from_data(msgspec.json.decode(told))
    assert back == policy
    assert msgspec.json.encode(policy_to_data(back)) == told


def test_whole_numbers_stay_whole() -> None:
    policy = Policy(deny=DenyPolicy(duration=60))
    back = policy_from_data(msgspec.json.decode(msgspec.json.encode(policy_to_data(policy))))
    assert type(back.deny.duration) is int


def test_the_defaults_are_told_too_and_not_filled_in_anew() -> None:
    told = policy_to_data(Policy.default())
    assert set(told["categories"]) == {category.value for category in Category}
    bare = replace(Policy.default().entry(Category.memory_exhausted), resources={})
    policy = Policy(categories={Category.memory_exhausted: bare})
    assert policy_from_data(policy_to_data(policy)).entry(Category.memory_exhausted).resources == {}


def test_the_published_policy_is_told_whole() -> None:
    told = policy_to_data(Policy.published())
    assert policy_from_data(told) == Policy.published()
    assert policy_digest(Policy.published()) != policy_digest(Policy(name="published"))


def test_a_policy_that_an_earlier_version_told_is_read() -> None:
    told = policy_to_data(Policy.default())
    del told["termination"], told["on_systemic_failure"], told["deny"]["level"], told["stragglers"]["speculate"]
    for entry in told["categories"].values():
        del entry["recovery"]
    read = policy_from_data(told)
    assert read.deny == DenyPolicy()
    assert read.termination == TerminationPolicy()
    assert read.on_systemic_failure == "warn"


def test_what_is_left_out_has_the_default_of_this_version() -> None:
    assert policy_from_data({}) == Policy.default()


@pytest.mark.parametrize(
    ("data", "named"),
    [
        ({"of_the_future": 1}, "of_the_future: no such key in this version; replay with the version"),
        ({"deny": {"of_the_future": 1}}, "deny.of_the_future: no such key"),
        ({"categories": {"alien": {}}}, "categories.alien: no such category"),
        ({"categories": {"disk_full": {"charge": "x"}}}, "categories.disk_full.charge = 'x': must be a number"),
        ({"categories": 3}, "categories = 3: must be a table"),
        ({"deny": [1]}, r"deny = \[1\]: must be a table"),
        ({"mode": "x"}, "mode = 'x': must be one of active, passive"),
    ],
)
def test_data_of_another_kind_is_an_error_that_names_the_key(data: dict[str, Any], named: str) -> None:
    with pytest.raises(PolicyError, match=f"the recorded policy's {named}"):
        policy_from_data(data)


@given(policies())
@settings(max_examples=50, deadline=None)
def test_a_policy_that_was_told_has_the_same_digest_and_a_changed_one_another(policy: Policy) -> None:
    told = msgspec.json.decode(msgspec.json.encode(policy_to_data(policy)))
    assert policy_digest(policy_from_data(told)) == policy_digest(policy)
    assert policy_digest(replace(policy, maximum_failures=policy.maximum_failures + 1)) != policy_digest(policy)
