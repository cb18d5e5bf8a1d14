from __future__ import annotations

from pathlib import Path

import pytest

from globus_compute_hooks import ledger
from globus_compute_hooks.ledger import NAME, Entry, Ledger


def entry(task_id: str, **more: object) -> Entry:
    return Entry(task_id=task_id, run_id="run", executor="endpoint", submitted=1.0, **more)  # type: ignore[arg-type]


def test_what_was_not_done_is_left_for_the_next_one(tmp_path: Path) -> None:
    first = Ledger(tmp_path)
    first.note(entry("a"))
    first.note(entry("b"))
    first.note(entry("b", try_id=1, place={"host": "n1"}))
    first.done("a")
    # Nothing is closed: the process was killed.
    second = Ledger(tmp_path)
    assert second.left == [entry("b", try_id=1, place={"host": "n1"})]


def test_what_is_left_stays_until_it_is_done(tmp_path: Path) -> None:
    Ledger(tmp_path).note(entry("a"))
    assert [one.task_id for one in Ledger(tmp_path).left] == ["a"]
    third = Ledger(tmp_path)
    third.done("a")
    third.close()
    assert Ledger(tmp_path).left == []


def test_a_line_that_was_cut_short_costs_only_itself(tmp_path: Path) -> None:
    first = Ledger(tmp_path)
    first.note(entry("a"))
    first.note(entry("b"))
    file = tmp_path / NAME
    file.write_bytes(file.read_bytes()[:-5])
    assert [one.task_id for one in Ledger(tmp_path).left] == ["a"]


def test_the_file_stays_small_however_many_tasks_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "MAX_BYTES", 10_000)
    kept = Ledger(tmp_path)
    kept.note(entry("open"))
    for number in range(1_000):
        kept.note(entry(str(number)))
        kept.done(str(number))
    assert (tmp_path / NAME).stat().st_size <= 10_000
    assert [one.task_id for one in Ledger(tmp_path).left] == ["open"]


def test_after_it_was_closed_nothing_is_written(tmp_path: Path) -> None:
    kept = Ledger(tmp_path)
    kept.close()
    kept.note(entry("a"))
    assert Ledger(tmp_path).left == []
