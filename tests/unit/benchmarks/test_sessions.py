"""The arithmetic of ``make sessions``: what an endpoint's day may leave over."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from benchmarks.harmless.compute.sessions import ENDS, Left, growth, open_records, rows

AS_AT_FIRST = Left(1, "kill", 4, 4, 47, 25, 12, 5, 1, 30, 0)


def day(files: int = 2, leaks: int = 0, records: int = 0) -> list[Left]:
    return [
        replace(
            AS_AT_FIRST,
            session=number,
            ended=ENDS[(number - 1) % len(ENDS)],
            files=30 + files * number,
            descriptors=47 + leaks * number,
            open_records=records * number,
        )
        for number in range(1, 25)
    ]


def test_a_day_that_leaves_what_stock_leaves_is_well() -> None:
    assert growth({"stock": day(), "ours": day()}) == []


def test_what_grows_is_said() -> None:
    assert growth({"stock": day(), "ours": day(leaks=1)}) == ["descriptors grew from 53 to 71"]
    assert growth({"stock": day(), "ours": day(records=1)}) == ["24 records of tasks are left"]
    assert growth({"stock": day(), "ours": day(files=4)}) == ["4.0 more files a session, in stock 2.0"]
    lost = [*day()[:-1], replace(day()[-1], well=3)]
    assert growth({"stock": day(), "ours": lost}) == ["1 tasks did not end well"]
    assert growth({"stock": day(leaks=1), "ours": day()}) == []


def test_the_table_has_an_early_session_and_a_late_one_of_each_kind() -> None:
    assert [row[1] for row in rows({"ours": day()})] == ["4", "5", "6", "22", "23", "24"]
    assert [row[1] for row in rows({"ours": day()[:3]})] == ["1", "2", "3"]


def test_a_record_is_open_until_its_task_is_done(tmp_path: Path) -> None:
    file = tmp_path / "octopus-tasks.jsonl"
    file.write_text('{"open":{"task_id":"a"}}\n{"open":{"task_id":"b"}}\n{"done":"a"}\n', encoding="utf-8")
    assert open_records(file) == 1
