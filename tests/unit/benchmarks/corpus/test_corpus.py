"""The kept corpus: real failures, and how well today's rules know them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[4]
sys.path.append(str(ROOT))  # behind what is installed: only `benchmarks` is looked for there

from benchmarks.corpus import evaluate, store  # noqa: E402


@pytest.fixture(scope="module")
def judged():
    return evaluate.verdicts()


def test_the_corpus_is_large_and_a_third_of_it_is_held_out(judged):
    assert len(judged) >= 150
    assert 0.2 <= sum(verdict.held_out for verdict in judged) / len(judged) <= 0.45


def test_every_failure_says_how_it_was_made(judged):
    assert all(verdict.made and verdict.case and verdict.label.layer for verdict in judged)


@pytest.mark.parametrize("part", ["all", "held out"])
def test_at_least_95_percent_get_the_right_category(judged, part):
    got = evaluate.score([verdict for verdict in judged if part == "all" or verdict.held_out])
    assert got.category >= 0.95, [(verdict.case, verdict.found.category) for verdict in judged if not verdict.right]


def test_all_with_structured_evidence_get_the_right_layer(judged):
    wrong = [v for v in judged if v.label.structured and not v.right_layer]
    assert not wrong, [(verdict.case, verdict.label.category, verdict.found.category) for verdict in wrong]


def test_every_finding_has_a_confidence_a_reason_and_evidence(judged):
    found = [verdict.found for verdict in judged]
    assert all(finding.evidence for finding in found)
    assert all(finding.reason and 0 <= finding.confidence <= 1 for finding in found)
    assert all(finding.confidence > 0 and finding.rule for finding in found if finding.category != "unknown")


def test_the_table_in_the_docs_is_that_of_the_kept_corpus(judged):
    assert evaluate.markdown(judged) in evaluate.DOCUMENT.read_text(encoding="utf-8")


def test_a_scene_is_read_as_it_was_written(tmp_path, monkeypatch):
    records = list(store.read("versions"))
    monkeypatch.setattr(store, "DATA", tmp_path)
    store.write("again", [record.event for record in records], {})
    assert [record.event for record in store.read("again")] == [record.event for record in records]
