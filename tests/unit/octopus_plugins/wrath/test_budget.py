from __future__ import annotations

import pytest
from msgspec.structs import replace

from octopus_plugins.events import Categorization, Decision, ExceptionInfo, Failure, Placement, Stop
from octopus_plugins.wrath.decisions.budget import terminated, within_budget

FOUND = Categorization(layer="application", category="code_error", reason="it broke.")
FAILURE = Failure(run_id="run", time=1.0, task_id="7", exception=ExceptionInfo(type="ValueError"), categorization=FOUND)


def decision(action: str = "retry", charge: float = 1.0) -> Decision:
    placement = Placement(rung="same_node") if action == "retry" else None
    reason = "it broke; retried in the same place, node-3 after 2.0 s"
    return Decision(
        run_id="run", time=1.0, task_id="7", action=action, reason=reason, charge=charge, placement=placement
    )


def test_a_retry_within_the_budget_stays() -> None:
    retry = decision()
    assert within_budget(retry, FAILURE, 1.0, 3) is retry


def test_a_retry_beyond_the_budget_ends_and_says_so() -> None:
    ended = within_budget(decision(), FAILURE, 0.5, 3)
    assert (ended.action, ended.rule, ended.placement) == ("terminate", "retries", None)
    assert (ended.stop, ended.why_not) == (Stop.retries_used_up, "the run's 3 retries are used up")
    assert ended.reason == "it broke; not retried: the run's 3 retries are used up"


@pytest.mark.parametrize(("found", "what"), [(FOUND, "it broke"), (None, "failed with ValueError")])
def test_where_a_retry_would_have_gone_is_not_said_of_what_ends(found: Categorization | None, what: str) -> None:
    failure = replace(FAILURE, categorization=found)
    ended = terminated(decision(), failure, Stop.halted, "stopped by ada", rule="halted")
    assert ended.reason == f"{what}; not retried: stopped by ada"


def test_without_retries_not_even_a_free_one_is_made() -> None:
    ended = within_budget(decision(charge=0.0), FAILURE, 0.0, 0)
    assert (ended.action, ended.stop) == ("terminate", Stop.no_retries)


def test_what_ends_anyway_stays_as_it_is() -> None:
    end = decision("terminate")
    assert within_budget(end, FAILURE, 0.0, 3) is end


def test_what_turned_a_decision_stands_in_it() -> None:
    assert terminated(decision(), FAILURE, Stop.halted, "stopped by ada", rule="halted").rule == "halted"
