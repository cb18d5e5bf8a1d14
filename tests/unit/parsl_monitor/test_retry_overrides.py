from __future__ import annotations

import msgspec

from octopus_plugins.events import Decision, ExceptionInfo, Failure, Placement, Stop
from parsl_monitor.run.retry_overrides import with_own_cost, with_own_executor

FAILURE = Failure(run_id="run", time=1.0, task_id="7", exception=ExceptionInfo(type="ValueError"))


def decision(action: str = "retry", charge: float = 1.0) -> Decision:
    placement = Placement(rung="same_node") if action == "retry" else None
    return Decision(
        run_id="run", time=1.0, task_id="7", action=action, reason="it broke", charge=charge, placement=placement
    )


def test_the_own_handler_s_cost_is_what_is_charged() -> None:
    assert with_own_cost(decision(), FAILURE, 0.25, 3.0).charge == 0.25


def test_the_own_handler_ends_what_it_charges_too_much_for() -> None:
    ended = with_own_cost(decision(), FAILURE, 5.0, 3.0)
    assert (ended.action, ended.stop) == ("terminate", Stop.own_handler)
    assert "charged 5 and 3 was left" in ended.reason


def test_the_own_handler_retries_what_would_have_ended() -> None:
    end = msgspec.structs.replace(decision("terminate"), stop=Stop.no_place.value, why_not="no place can help")
    retried = with_own_cost(end, FAILURE, 1.0, 3.0)
    assert (retried.stop, retried.why_not) == ("", "")
    assert (retried.action, retried.rule, retried.charge) == ("retry", "retry_handler", 1.0)


def test_a_run_goes_on_where_the_own_handler_retries() -> None:
    stop = msgspec.structs.replace(decision("terminate"), halts_run=True)
    retried = with_own_cost(stop, FAILURE, 1.0, 3.0)
    assert (retried.action, retried.halts_run) == ("retry", False)


def test_where_the_own_handler_sends_a_task_there_it_goes() -> None:
    moved = with_own_executor(decision(), "large")
    assert moved.placement is not None
    assert (moved.placement.rung, moved.placement.executor) == ("other_executor", "large")
    assert moved.reason == "it broke; on executor 'large', which the workflow's own retry_handler has set"


def test_what_ends_anyway_the_own_handler_leaves() -> None:
    end = decision("terminate")
    assert with_own_cost(end, FAILURE, 5.0, 3.0) is end
