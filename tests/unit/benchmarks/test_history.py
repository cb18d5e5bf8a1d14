"""What was measured before, drawn."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from benchmarks import history
from benchmarks.figures import Figure, Goal, Result, Spread
from benchmarks.report import write_json


def test_the_history_has_each_figure_with_a_goal_as_often_as_it_was_measured(tmp_path: Path) -> None:
    for number, (value, quick) in enumerate([(0.5, False), (0.1, True), (0.95, False)]):
        _keep(tmp_path, number, value, quick=quick)
    (series,) = history.read(tmp_path)
    assert (series.entry, series.figure, series.goal) == ("speed", "ours < none & more", 0.9)
    assert [point.median for point in series.points] == [0.5, 0.95]
    assert [series.meets(point.median) for point in series.points] == [False, True]


def test_the_plot_is_well_formed_and_shows_each_measurement(tmp_path: Path) -> None:
    for number, value in enumerate([0.5, 0.95, 0.7]):
        _keep(tmp_path, number, value)
    root = ET.fromstring(history.svg(history.read(tmp_path)))
    name = "{http://www.w3.org/2000/svg}"
    titles = [title.text or "" for title in root.iter(f"{name}title")]
    assert [title.split(": ")[1].split(" ")[0] for title in titles] == ["0.5", "0.95", "0.7"]
    assert "ours < none & more" in {text.text for text in root.iter(f"{name}text")}


def test_a_file_that_is_no_result_is_named(tmp_path: Path) -> None:
    (tmp_path / "20261126T000000Z.json").write_text('{"time": "now"}', encoding="utf-8")
    with pytest.raises(ValueError, match=r"20261126T000000Z\.json is no result"):
        history.read(tmp_path)


def _keep(directory: Path, number: int, value: float, *, quick: bool = False) -> None:
    figures = (
        Figure("ours < none & more", Spread(value, value / 2, value * 1.1, 3), "×", Goal(0.9)),
        Figure("without a goal", Spread.of([1.0]), "µs"),
    )
    written = write_json([Result("speed", "of ours", figures)], {}, directory / "new", quick=quick)
    written.rename(directory / f"2026112{number}T000000Z.json")
