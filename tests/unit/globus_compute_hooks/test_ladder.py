from __future__ import annotations

import uuid
from typing import Any

import pytest

from globus_compute_hooks.sdk.ladder import steps_of
from octopus_plugins.errors import ConfigError

A, B = "00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b"


def test_a_ladder_keeps_its_order_and_what_is_different_at_an_endpoint() -> None:
    other = {"user_endpoint_config": {"account": "x"}, "resource_specification": {"num_nodes": 2}}
    steps = steps_of([B.upper(), {"endpoint_id": uuid.UUID(A), **other}])
    assert list(steps.items()) == [(B, {}), (A, other)]
    assert steps_of(None) == {}


@pytest.mark.parametrize(
    ("ladder", "said"),
    [
        (A, "must be a list of endpoint ids"),
        (["small"], r"ladder\[0\] = 'small': must be the id of an endpoint"),
        (
            [A, {"user_endpoint_config": {}}],
            r"ladder\[1\] = .*must be the id of an endpoint, or have it as 'endpoint_id'",
        ),
        ([{"endpoint_id": A, "user_endpoint_confg": {}}], "did you mean 'user_endpoint_config'?"),
        ([{"endpoint_id": A, "resource_specification": 3}], r"ladder\[0\].resource_specification = 3: must be a dict"),
        ([A, uuid.UUID(A)], r"ladder\[1\] = .* is on the ladder twice"),
    ],
)
def test_what_is_wrong_with_a_ladder_is_named(ladder: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        steps_of(ladder)
