"""What is counted of guarantees and soaks becomes sections of a page."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.delivery import page
from benchmarks.delivery.guarantees import table

LINE: dict[str, object] = {
    "guarantee": "leader killed",
    "test": "test_the_leader_is_killed",
    "emitted": 100_000,
    "delivered": 100_000,
    "replayed": 0,
    "dropped": 0,
    "records": 100_289,
    "events": 100_000,
}


def test_each_guarantee_has_its_counts_and_its_test() -> None:
    rows = table([LINE]).splitlines()
    assert "| leader killed | 100,000 | 100,000 | 0 | 0 | 100,289 | 100,000 |" in rows
    assert "| leader killed | `test_the_leader_is_killed` |" in rows
    assert rows[-1].startswith("Measured by `make guarantees` on ")
    assert "commit " in rows[-1]


def test_a_section_is_replaced_and_all_else_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "PAGE", tmp_path / "page.md")
    page.PAGE.write_text("before\n<!-- soak -->\nold\n<!-- /soak -->\nafter\n")
    page.write_section("soak", "new\n")
    page.write_section("soak", "newer\n")
    assert page.PAGE.read_text() == "before\n<!-- soak -->\nnewer\n<!-- /soak -->\nafter\n"


def test_a_page_without_the_section_is_an_error_that_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "PAGE", tmp_path / "page.md")
    page.PAGE.write_text("before\n<!-- soak -->\n")
    with pytest.raises(SystemExit, match="no marks <!-- soak --> and <!-- /soak -->"):
        page.write_section("soak", "new")
    assert page.PAGE.read_text() == "before\n<!-- soak -->\n"
