"""The counts of processes on disk: there after the end, bounded, and never in anybody's way."""

from __future__ import annotations

from pathlib import Path

import pytest

from octopus_plugins.config import OctopusConfig
from octopus_plugins.fabric.produce.counts import Counts, Tally
from octopus_plugins.fabric.produce.counts_file import KEPT, CountsFile, counts_directory, last_counts


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OctopusConfig:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return OctopusConfig(namespace="alice")


def test_the_last_counts_are_found_again_newest_first(config: OctopusConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    for second, run in enumerate(["first", "second"]):
        monkeypatch.setattr("time.strftime", lambda *_, second=second: f"20260101T00000{second}")
        CountsFile(config, run).write(Counts(emitted=second + 1, delivered=1), ended=run == "first")
    newest, oldest = last_counts(config, "alice")
    assert (newest.run_id, newest.counts.emitted, newest.ended) == ("second", 2, False)
    assert (oldest.run_id, oldest.counts.emitted, oldest.ended) == ("first", 1, True)


def test_those_of_others_are_not_shown(config: OctopusConfig) -> None:
    CountsFile(config, "mine").write(Counts())
    assert last_counts(config, "bob") == []
    assert last_counts(config.model_copy(update={"profile": "kafka"}), "alice") == []


def test_one_process_has_one_file_however_often_it_writes(config: OctopusConfig) -> None:
    file = CountsFile(config, "run")
    for number in range(5):
        file.write(Counts(emitted=number))
    file.write_now_and_then(Counts(emitted=99))  # too soon
    assert [each.counts.emitted for each in last_counts(config, "alice")] == [4]
    assert len(list(counts_directory().iterdir())) == 1


def test_only_the_newest_files_are_kept(config: OctopusConfig) -> None:
    for number in range(KEPT + 5):
        CountsFile(config, str(number)).write(Counts())
    assert len(list(counts_directory().iterdir())) == KEPT


def test_a_place_that_cannot_be_written_hurts_nobody(
    config: OctopusConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    CountsFile(config, "run").write(Counts())
    assert last_counts(config, "alice") == []


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"counts": 3}', '{"counts": {"emitted": "many"}}', "\x00"])
def test_a_damaged_file_is_passed_over(config: OctopusConfig, text: str) -> None:
    CountsFile(config, "run").write(Counts())
    (counts_directory() / "99999999T000000-1-0.json").write_text(text)
    assert [each.run_id for each in last_counts(config, "alice")] == ["run"]


def test_what_was_dropped_says_how_much_of_it_were_samples() -> None:
    tally = Tally()
    tally.add("dropped", ["task-metrics"] * 3)
    assert str(tally.counts(0)).endswith("dropped 3")
    tally.add("dropped_samples", ["task-metrics"] * 2)
    assert str(tally.counts(0)).endswith("dropped 3 (2 of them resource samples, which are not kept on disk)")
