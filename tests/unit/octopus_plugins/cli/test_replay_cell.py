"""How a replay shows what a decision does beside its task."""

from __future__ import annotations

from typing import Any

import pytest

from octopus_plugins.cli.replay import _cell
from octopus_plugins.events import Decision


def shown(**fields: Any) -> list[str]:
    decision = Decision(run_id="r", task_id="1", time=100.0, action="retry", reason="it broke", **fields)
    return str(_cell(decision)).splitlines()


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"deny_hosts": {"n0": 160.0}}, "denies n0"),
        ({"deny_hosts": {"n0": 160.0}, "deny_app": "f"}, "denies n0 tasks of f"),
        ({"deny_hosts": {"n0": 100.0}, "deny_app": "f"}, "allows n0 tasks of f"),
        ({"systemic": "9 of 9 failed", "on_systemic": "warn"}, "of the run: 9 of 9 failed (warn)"),
    ],
    ids=["to all", "to one app", "taken back", "the run"],
)
def test_what_a_decision_does_to_nodes_and_the_run_is_shown(fields: dict[str, Any], line: str) -> None:
    assert line in shown(**fields)


def test_a_decision_that_does_no_more_shows_no_more() -> None:
    assert shown() == ["retry", "it broke"]
