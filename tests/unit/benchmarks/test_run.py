"""The command line of the benchmarks."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import run
from benchmarks.entries import ENTRIES
from benchmarks.figures import Figure, Goal, Options, Result, Spread

RESULT = Result("speed", "of ours", (Figure("ours / none", Spread.of([0.5]), "×", Goal(0.9)),))


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(run, "JSON_DIRECTORY", tmp_path)
    monkeypatch.setattr(run, "PLOT", tmp_path / "history.svg")
    return tmp_path


def test_options_reach_the_entry_and_quick_results_are_not_drawn(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Options] = []

    def measure(options: Options) -> Result:
        seen.append(options)
        return RESULT

    monkeypatch.setitem(ENTRIES, "query", measure)
    assert run.main(["--only", "query", "--quick", "--scale", "2000", "--outage", "600"]) == 0
    assert seen == [Options(None, True, 2_000, 600.0)]
    assert run.main(["--plot"]) == 1
    assert not (kept / "history.svg").exists()


def test_a_result_that_is_kept_is_drawn(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENTRIES, "query", lambda options: RESULT)
    assert run.main(["--only", "query", "--pairs", "1"]) == 0
    assert run.main(["--plot"]) == 0
    assert "ours / none" in (kept / "history.svg").read_text(encoding="utf-8")


def test_an_entry_has_its_usual_number_of_rounds_unless_asked_for_another() -> None:
    assert (Options().rounds(7), Options(pairs=9).rounds(7)) == (7, 9)
    assert (Options(quick=True).rounds(7), Options(pairs=1, quick=True).rounds(7)) == (2, 1)


@pytest.mark.parametrize("words", [["--scale", "999"], ["--outage", "0"], ["--pairs", "0"]])
def test_amounts_that_measure_nothing_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run.main(words)
    assert words[0] in capsys.readouterr().err


@pytest.mark.parametrize("name", sorted(ENTRIES))
def test_every_entry_says_in_one_line_what_it_measures(name: str) -> None:
    assert (ENTRIES[name].__doc__ or "").splitlines()[0]
