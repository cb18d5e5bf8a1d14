"""What comes from a topic is untrusted: checked before it is applied."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from octopus_plugins.events import Decision, ExceptionInfo, Failure, Placement
from parsl_monitor.run.decision_checks import (
    FREE_RETRIES,
    LONGEST_DENIAL,
    MAX_DENIED,
    MAX_HOSTS,
    adopted,
    is_applied,
    refusal,
)

FAILURE = Failure(
    run_id="run",
    time=10.0,
    task_id="7",
    try_id=1,
    app="app",
    executor="small",
    host="node",
    pid=5,
    exception=ExceptionInfo(type="ValueError"),
)
GOOD = Decision(run_id="run", time=11.0, task_id="7", try_id=1, action="retry", decider="service")
EXECUTORS = ("small", "large", "_parsl_internal")


def placed(executor: str | None) -> Placement:
    return Placement(rung="other_executor", executor=executor)


def test_a_sound_decision_is_not_refused() -> None:
    for changes in ({}, {"action": "terminate"}, {"placement": placed("large"), "delay": 3.0, "charge": 0.0}):
        assert refusal(msgspec.structs.replace(GOOD, **changes), FAILURE, EXECUTORS, 3) is None


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"run_id": "another"}, "another try"),
        ({"task_id": "8"}, "another try"),
        ({"try_id": 0}, "another try"),
        ({"action": "explode"}, "'explode'"),
        ({"action": "deny"}, "'deny'"),
        ({"mode": "passive"}, "passive"),
        ({"charge": -1.0}, "charge"),
        ({"charge": float("nan")}, "charge"),
        ({"charge": float("inf")}, "charge"),
        ({"delay": -1.0}, "delay"),
        ({"delay": float("nan")}, "delay"),
        ({"delay": 1e9}, "delay"),
        ({"placement": placed("nowhere")}, "'nowhere'"),
        ({"placement": placed("_parsl_internal")}, "'_parsl_internal'"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_reason(changes: dict[str, Any], why: str) -> None:
    found = refusal(msgspec.structs.replace(GOOD, **changes), FAILURE, EXECUTORS, 3)
    assert found is not None and why in found


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({"policy": "mine", "policy_digest": "d1"}, False),
        ({"policy": "mine", "policy_digest": "d2"}, True),
        ({"policy": "default", "policy_digest": "d1"}, True),
        ({"policy": "default"}, True),  # of a service that tells no digest
        ({"policy": "mine"}, False),
        ({"policy": "theirs", "policy_digest": "d2", "imposed": True}, False),
    ],
)
def test_a_decision_under_another_policy_than_the_run_s_is_refused_unless_that_was_imposed(
    changes: dict[str, Any], refused: bool
) -> None:
    found = refusal(msgspec.structs.replace(GOOD, **changes), FAILURE, EXECUTORS, 3, ("mine", "d1"))
    assert (found is not None and "another policy" in found) == refused


def test_a_service_cannot_retry_for_ever() -> None:
    late = msgspec.structs.replace(FAILURE, try_id=3 + FREE_RETRIES)
    endless = msgspec.structs.replace(GOOD, try_id=3 + FREE_RETRIES, charge=0.0)
    assert refusal(endless, late, EXECUTORS, 3) is not None
    assert refusal(endless, late, EXECUTORS, 4) is None


def test_nodes_that_a_service_lets_off_are_let_off_when_that_is_applied() -> None:
    given = msgspec.structs.replace(GOOD, deny_hosts={"well": GOOD.time, "over": GOOD.time + 1, "bad": 500.0})
    assert adopted(given, FAILURE, now=100.0).deny_hosts == {"well": 100.0, "bad": 500.0}


def test_what_is_adopted_is_the_run_s_record_of_it_and_bounded() -> None:
    hosts = tuple(f"node-{number}" for number in range(1000))
    wild = msgspec.structs.replace(
        GOOD,
        host="lies",
        placement=Placement(rung="other_node", avoid_hosts=hosts, prefer_hosts=hosts),
        deny_hosts={f"n{number}": 1e12 for number in range(2 * MAX_DENIED)} | {"past": 1.0},
    )
    record = adopted(wild, FAILURE, 100.0)
    assert record.placement is not None
    assert len(record.placement.avoid_hosts) == len(record.placement.prefer_hosts) == MAX_HOSTS
    assert len(record.deny_hosts) == MAX_DENIED
    assert set(record.deny_hosts.values()) == {100.0 + LONGEST_DENIAL}
    assert (record.time, record.host, record.pid, record.decider) == (100.0, "node", 5, "service")
    assert record.id != wild.id
    assert is_applied(record) and not is_applied(wild)
