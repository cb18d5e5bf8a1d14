"""A steered specification is, to everybody but our executor, the dict that the user gave."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from octopus_plugins.htex.steering import SteeredSpecification, Steering

GIVEN = {"priority": 3, "note": ["x"]}


@pytest.fixture
def steered() -> SteeredSpecification:
    return SteeredSpecification(GIVEN, Steering(delay=2.0))


@pytest.mark.parametrize(
    "through",
    [
        copy.copy,
        copy.deepcopy,
        dict,
        dict.copy,
        lambda value: {**value},
        lambda value: value | {},
        *(lambda value, level=level: pickle.loads(pickle.dumps(value, level)) for level in range(6)),
    ],
)
def test_whoever_copies_or_pickles_it_gets_a_plain_dict(
    steered: SteeredSpecification, through: Callable[[Any], Any]
) -> None:
    made = through(steered)
    assert type(made) is dict
    assert made == GIVEN


def test_it_reads_as_what_the_user_gave(steered: SteeredSpecification) -> None:
    assert steered == GIVEN and steered == GIVEN
    assert repr(steered) == repr(GIVEN)
    assert list(steered.items()) == list(GIVEN.items())
    assert json.dumps(steered) == json.dumps(GIVEN)
    assert "steer" not in repr(pickle.dumps(steered))


def test_a_user_s_code_may_change_it_as_any_other(steered: SteeredSpecification) -> None:
    steered["priority"] = 1
    assert steered.for_executor() == {"priority": 1, "note": ["x"]}
    assert steered.steering == Steering(delay=2.0)


def test_an_executor_that_would_refuse_keys_is_not_asked_for_them() -> None:
    moved = SteeredSpecification({"priority": 3, "memory": 7}, Steering(), frozenset({"priority"}))
    assert moved.for_executor() == {"priority": 3}
    assert moved == {"priority": 3, "memory": 7}
