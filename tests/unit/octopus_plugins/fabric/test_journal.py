from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from octopus_plugins.fabric.record import Record, encode_frame, scan
from octopus_plugins.fabric.spool.journal import Journal


def record(number: int, size: int = 20) -> Record:
    return Record("task-metrics", f"run/{number}".encode(), b"x" * size)


def create(tmp_path: Path, max_bytes: int = 1024 * 1024) -> Journal:
    return Journal.create(tmp_path / "spool", {"profile": "local", "namespace": "me"}, max_bytes=max_bytes)


def write(journal: Journal, *records: Record) -> bool:
    return journal.append(b"".join(map(encode_frame, records)), list(records))


def take_all(journal: Journal) -> list[Record]:
    found = []
    while records := journal.take(100)[0]:
        found += records
    return found


def reopen(journal: Journal) -> Journal:
    journal.abandon()
    again = Journal.claim(journal.directory)
    assert again is not None
    return again


def another_process_claims(directory: Path) -> bool:
    code = "import sys; from pathlib import Path; from octopus_plugins.fabric.spool.journal import Journal; "
    code += "sys.exit(3 if Journal.claim(Path(sys.argv[1])) is not None else 4)"
    status = subprocess.run([sys.executable, "-c", code, str(directory)], check=False).returncode
    assert status in {3, 4}
    return status == 3


def test_what_is_appended_is_taken_in_order_over_many_segments(tmp_path: Path) -> None:
    journal = create(tmp_path, max_bytes=8 * 1024)
    written = [record(number) for number in range(100)]
    for each in written:
        assert write(journal, each)
    assert len(list(journal.directory.glob("*.log"))) > 1
    assert take_all(journal) == written
    assert journal.take(100)[0] == []
    assert write(journal, record(100))
    assert take_all(journal) == [record(100)]
    journal.close()


def test_a_record_larger_than_the_piece_asked_for_is_taken_whole(tmp_path: Path) -> None:
    journal = create(tmp_path)
    assert write(journal, record(1, size=100_000), record(2))
    assert take_all(journal) == [record(1, size=100_000), record(2)]
    journal.close()


def test_acknowledged_segments_are_deleted_and_make_room(tmp_path: Path) -> None:
    journal = create(tmp_path, max_bytes=8 * 1024)
    for number in range(10_000):
        assert write(journal, record(number))
        records, position = journal.take(1000)
        journal.acknowledge(position, len(records))
        assert records == [record(number)]
    assert len(list(journal.directory.glob("*.log"))) <= 2
    assert journal.waiting == 0
    assert journal.close()
    assert not journal.directory.exists()


def test_a_full_journal_takes_nothing_more(tmp_path: Path) -> None:
    journal = create(tmp_path, max_bytes=8 * 1024)
    number = 0
    while write(journal, record(number)):
        number += 1
    assert 7 * 1024 < journal.unread_bytes <= 8 * 1024
    assert journal.waiting == number
    assert not journal.close()
    assert sum(file.stat().st_size for file in journal.directory.glob("*.log")) == journal.unread_bytes


def test_after_a_crash_what_was_not_acknowledged_is_taken_again(tmp_path: Path) -> None:
    journal = create(tmp_path)
    assert write(journal, *map(record, range(3)))
    records, position = journal.take(10_000)
    journal.acknowledge(position, len(records))
    assert write(journal, record(3), record(4))
    journal = reopen(journal)
    assert take_all(journal) == [record(3), record(4)]
    journal.rewind()
    assert take_all(journal) == [record(3), record(4)]
    assert not journal.close(), "what was not acknowledged stays"
    assert journal.directory.exists()


def test_a_torn_tail_is_no_damage(tmp_path: Path) -> None:
    journal = create(tmp_path)
    assert write(journal, record(1), record(2))
    assert not journal.close(), "from here on the file ends where its last record does, as one that was written does"
    (segment,) = journal.directory.glob("*.log")
    os.truncate(segment, segment.stat().st_size - 3)
    journal = reopen(journal)
    assert take_all(journal) == [record(1)]
    assert journal.damaged == 0
    journal.acknowledge(journal.take(100)[1], 1)
    assert journal.close(), "nothing more can be read from it"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30)
@given(st.data())
def test_damage_costs_the_rest_of_its_segment_and_is_reported_and_kept(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    journal = create(tmp_path_factory.mktemp("journal"), max_bytes=8 * 1024)
    for number in range(60):
        assert write(journal, record(number))
    first, *others = sorted(journal.directory.glob("*.log"))
    content = bytearray(first.read_bytes())
    in_first = len(scan(bytes(content)).records)
    where = data.draw(st.integers(0, len(content) - 1))
    whole = len(scan(bytes(content[:where])).records)
    content[where] ^= 0xFF
    first.write_bytes(content)
    journal = reopen(journal)
    numbers = [int(each.key.split(b"/")[1]) for each in take_all(journal)]
    assert others, "there are other segments"
    assert numbers == [*range(whole), *range(in_first, 60)]
    assert journal.damaged == 1
    assert len(list(journal.directory.parent.glob("*.damaged"))) == 1
    journal.abandon()


def test_a_half_written_position_begins_at_the_start(tmp_path: Path) -> None:
    journal = create(tmp_path)
    assert write(journal, record(1))
    journal.acknowledge(journal.take(1000)[1], 1)
    (journal.directory / "acked").write_bytes(b"\x01\x00\x00")
    assert take_all(reopen(journal)) == [record(1)]


def test_a_living_session_is_nobody_elses(tmp_path: Path) -> None:
    journal = create(tmp_path)
    assert write(journal, record(1))
    assert Journal.claim(journal.directory) is None
    assert not another_process_claims(journal.directory), "its lock is held"
    journal.close()
    assert another_process_claims(journal.directory), "it was left behind"


def test_a_living_session_is_its_owners_by_whatever_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    created = create(tmp_path)
    assert write(created, record(1))
    (tmp_path / "link").symlink_to("spool")
    monkeypatch.chdir(tmp_path)
    for journal in (created, reopen(created)):
        for spool in (Path("spool"), Path("link"), tmp_path / "link", tmp_path / "spool" / ".." / "spool"):
            assert Journal.claim(spool / journal.directory.name) is None
        assert not another_process_claims(journal.directory), "its lock is still held"
    assert take_all(reopen(journal)) == [record(1)], "once let go it can be claimed again"


def test_one_of_two_threads_claims_a_session(tmp_path: Path) -> None:
    journal = create(tmp_path)
    assert write(journal, record(1))
    together = threading.Barrier(2)

    def claim(directory: Path) -> Journal | None:
        together.wait(10)
        return Journal.claim(directory)

    with ThreadPoolExecutor(2) as pool:
        for _ in range(50):
            journal.abandon()
            (journal,) = (each for each in pool.map(claim, [journal.directory] * 2) if each is not None)
    journal.abandon()


def test_letting_go_twice_does_not_give_up_the_next_session(tmp_path: Path) -> None:
    journals = []
    for _ in range(20):  # a file system may give the new lock file the number of the deleted one
        journal = create(tmp_path)
        for each in journals:
            each.abandon()
        assert Journal.claim(journal.directory) is None
        assert journal.close()
        journals.append(journal)


def test_files_are_for_their_owner_only(tmp_path: Path) -> None:
    journal = create(tmp_path)
    assert write(journal, record(1))
    assert stat.S_IMODE(journal.directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in journal.directory.iterdir()} == {0o600}
    assert json.loads((journal.directory / "session.json").read_text()) == {"profile": "local", "namespace": "me"}
    journal.close()


def test_a_disk_without_locks_is_an_error_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, command: int) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(fcntl, "lockf", refuse)
    with pytest.raises(OSError, match="no locks"):
        create(tmp_path)
    assert list((tmp_path / "spool").iterdir()) == []


def test_whoever_keeps_up_reads_nothing_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = create(tmp_path, max_bytes=8 * 1024)

    def refuse(*arguments: int) -> bytes:
        raise OSError(errno.EIO, "nothing is to be read")

    monkeypatch.setattr(os, "pread", refuse)
    for number in range(0, 1000, 2):
        assert write(journal, record(number), record(number + 1))
        records, position = journal.take(1)
        assert records == [record(number), record(number + 1)]
        journal.acknowledge(position, 2)
    assert journal.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(st.lists(st.sampled_from(["append", "take", "take all", "acknowledge", "rewind"]), min_size=20, max_size=200))
def test_memory_and_files_together_lose_nothing_and_keep_the_order(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("octopus_plugins.fabric.spool.journal._TAIL_BYTES", 300)
        journal = create(tmp_path_factory.mktemp("journal"), max_bytes=8 * 1024)
        appended = taken = acknowledged = 0
        token = journal.take(1)[1]
        for step in steps:
            if step == "append" and write(journal, *(record(appended + each) for each in range(1 + appended % 3))):
                appended += 1 + appended % 3
            elif step == "acknowledge":
                journal.acknowledge(token, taken - acknowledged)
                acknowledged = taken
            elif step == "rewind":
                journal.rewind()
                taken = acknowledged
                token = journal._cursor
            elif step.startswith("take"):
                while True:
                    records, token = journal.take(150)
                    assert records == [record(taken + each) for each in range(len(records))]
                    taken += len(records)
                    if step == "take" or not records:
                        break
                assert step == "take" or taken == appended
        assert journal.waiting == appended - acknowledged
        journal = reopen(journal)
        assert take_all(journal)[-(appended - acknowledged) or appended :] == [
            record(number) for number in range(acknowledged, appended)
        ]
        journal.abandon()
