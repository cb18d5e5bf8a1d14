"""Failures that people reported in public get the category that they concluded."""

from __future__ import annotations

import pytest

from benchmarks.reports.evaluate import SETS, verdicts


@pytest.mark.parametrize(("name", "share"), [(one.name, 0.15 if one.name == "everyday" else 0.05) for one in SETS])
def test_reported_failures_are_known_and_everyday_ones_not_misread(name: str, share: float) -> None:
    found = verdicts(name)
    wrong = [f"{one.report.id}: {one.found.category} by {one.found.rule}" for one in found if not one.right]
    assert len(found) >= 40
    assert len(wrong) <= share * len(found), wrong
