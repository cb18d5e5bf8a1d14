"""Executors are told how far apart to sample, each once, and the log once."""

from __future__ import annotations

import pytest

from octopus_plugins.fabric.produce.budget import SampleBudget
from octopus_plugins.frameworks.sample_pacing import Pacer


def test_each_executor_hears_of_a_stretch_once_and_the_log_of_the_first(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "octopus_plugins")
    budget = SampleBudget(1e6)
    pacer, heard, ready = Pacer(budget), [], [False]

    def hand(stretch: float) -> bool:
        heard.append(("early", stretch))
        return True

    def hand_late(stretch: float) -> bool:
        heard.append(("late", stretch))
        return ready[0]

    executors = {"early": hand, "late": hand_late}
    pacer.pace(executors)
    assert heard == [], "nothing has changed"
    budget.stretch = 3.0
    pacer.pace(executors)
    ready[0] = True
    pacer.pace(executors)
    pacer.pace(executors)
    assert heard == [("early", 3.0), ("late", 3.0), ("late", 3.0)]
    for stretch in (1.0, 3.0):
        budget.stretch = stretch
        pacer.pace(executors)
    assert heard[3:] == [("early", 1.0), ("late", 1.0), ("early", 3.0), ("late", 3.0)]
    (said,) = caplog.messages
    assert "more than 1,000,000 bytes a second" in said and "sample_budget" in said


def test_without_a_bound_nobody_hears_anything() -> None:
    Pacer(None).pace({"small": lambda stretch: pytest.fail("told")})
