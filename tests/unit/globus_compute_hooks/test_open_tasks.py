from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from globus_compute_hooks.endpoint import open_tasks
from globus_compute_hooks.endpoint.open_tasks import NAME, Entry, Ledger


def entry(task_id: str, **more: object) -> Entry:
    return Entry(task_id=task_id, run_id="run", executor="endpoint", submitted=1.0, **more)  # type: ignore[arg-type]


def left(kept: Ledger) -> list[Entry]:
    found = []
    while (one := kept.claim()) is not None:
        found.append(one)
    return found


def left_ids(directory: Path) -> list[str]:
    return sorted(one.task_id for one in left(Ledger(directory)))


def test_what_was_not_done_is_left_for_the_next_one(tmp_path: Path) -> None:
    first = Ledger(tmp_path)
    first.note(entry("a"))
    first.note(entry("b"))
    first.note(entry("b", try_id=1, place={"host": "n1"}))
    first.done("a")
    # Nothing is closed: the process was killed.
    second = Ledger(tmp_path)
    assert second.left == 1
    assert left(second) == [entry("b", try_id=1, place={"host": "n1"})]


def test_what_is_left_stays_until_it_is_done(tmp_path: Path) -> None:
    Ledger(tmp_path).note(entry("a"))
    assert left_ids(tmp_path) == ["a"]
    third = Ledger(tmp_path)
    third.done("a")
    third.close()
    assert left_ids(tmp_path) == []


def test_what_came_again_is_no_longer_left_and_open_until_it_is_done(tmp_path: Path) -> None:
    Ledger(tmp_path).note(entry("a"))
    second = Ledger(tmp_path)
    second.note(entry("a"))
    assert (second.left, second.claim()) == (0, None)
    assert left_ids(tmp_path) == ["a"]


def test_a_line_that_was_cut_short_costs_only_itself(tmp_path: Path) -> None:
    first = Ledger(tmp_path)
    first.note(entry("a"))
    first.note(entry("b"))
    file = tmp_path / NAME
    file.write_bytes(file.read_bytes()[:-5])
    assert left_ids(tmp_path) == ["a"]


def test_the_file_stays_small_however_many_tasks_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_tasks, "MAX_BYTES", 10_000)
    kept = Ledger(tmp_path)
    kept.note(entry("open"))
    for number in range(1_000):
        kept.note(entry(str(number)))
        kept.done(str(number))
    assert (tmp_path / NAME).stat().st_size <= 10_000
    assert left_ids(tmp_path) == ["open"]


def test_after_it_was_closed_nothing_is_written(tmp_path: Path) -> None:
    kept = Ledger(tmp_path)
    kept.close()
    kept.note(entry("a"))
    assert left_ids(tmp_path) == []


ONE, OTHER = "a1b2-01", "a1c3-02"


@pytest.mark.parametrize(
    ("torn", "sure"),
    [
        (b'{"open":{"task_id":"new', [ONE, OTHER]),
        (b'{"done":"a1b2', [OTHER]),
        (b'{"done":"a1', []),
        (b'{"done":"', []),
        (b'{"open":{"task_id":"new{"done":"a1b2-01"}', []),
        (b"\0\0\0\0", []),
        (b"\xff", []),
    ],
)
@pytest.mark.parametrize("followed", [False, True])
def test_a_task_that_a_torn_line_may_have_called_done_is_not_left(
    tmp_path: Path, torn: bytes, sure: list[str], followed: bool
) -> None:
    first = Ledger(tmp_path)
    first.note(entry(ONE))
    first.note(entry(OTHER))
    with (tmp_path / NAME).open("ab") as file:
        file.write(torn + (b"\n" if followed else b""))
    if followed:
        first.note(entry("later"))
    assert left_ids(tmp_path) == sorted([*sure, *(["later"] if followed else [])])


class FullDisk:
    """In the place of ``os.write``: writes half of what it is given, then nothing, until there is room again."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full = False
        self._write = os.write
        monkeypatch.setattr(open_tasks.os, "write", self)

    def __call__(self, descriptor: int, text: bytes) -> int:
        if not self.full:
            return self._write(descriptor, text)
        if len(text) < 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self._write(descriptor, text[: len(text) // 2])


def test_while_the_disk_is_full_nothing_is_left_and_afterwards_all_that_is_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = FullDisk(monkeypatch)
    kept = Ledger(tmp_path)
    for name in ("before", "answered while it is full", "open"):
        kept.note(entry(name))
    kept.done("before")
    disk.full = True
    kept.done("answered while it is full")
    kept.note(entry("taken while it is full"))
    assert (tmp_path / NAME).read_bytes() == b""  # its next session would have told what was answered
    disk.full = False
    kept.note(entry("after"))
    assert left_ids(tmp_path) == ["after", "open", "taken while it is full"]
