from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from octopus_plugins.fabric.record import Record, encode_frame
from octopus_plugins.fabric.spool import segments
from octopus_plugins.fabric.spool.journal import Journal
from octopus_plugins.fabric.spool.segments import MappedSegment, WrittenSegment, new_segment, used_bytes

CAPACITY = 1024 * 1024

mapping = pytest.mark.skipif(sys.platform != "linux", reason="files are mapped on Linux only")


def record(number: int, size: int = 20) -> Record:
    return Record("task-metrics", f"run/{number}".encode(), b"x" * size)


def numbers(journal: Journal) -> list[int]:
    found = []
    while records := journal.take(10_000)[0]:
        found += [int(each.key.split(b"/")[1]) for each in records]
    return found


def claim(directory: Path) -> Journal:
    journal = Journal.claim(directory)
    assert journal is not None
    return journal


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 512 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no file system may be mounted here: {mounted.stderr.decode()}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.fixture
def mapped(tmp_path: Path) -> MappedSegment:
    """A mapped file, wherever the tests' directory is: ext4, XFS and tmpfs have them."""
    segment = new_segment(tmp_path / "1.log", CAPACITY)
    if not isinstance(segment, MappedSegment):
        pytest.skip(f"the file system of {tmp_path} maps no files: set TMPDIR to one that is ext4, XFS or tmpfs")
    return segment


def test_what_was_appended_is_in_use_while_the_file_is_open_and_when_it_was_left(
    mapped: MappedSegment, tmp_path: Path
) -> None:
    path = tmp_path / "1.log"
    assert used_bytes(path) == 0
    for number in range(1, 101):
        mapped.append(b"x" * 4000)
        assert used_bytes(path) == 4000 * number
    mapped.abandon()
    assert used_bytes(path) == 400_000
    assert path.read_bytes()[:400_000] == b"x" * 400_000


def test_a_finished_file_ends_where_its_last_record_does(mapped: MappedSegment, tmp_path: Path) -> None:
    mapped.append(b"x" * 70_000)
    mapped.finish()
    assert (tmp_path / "1.log").read_bytes() == b"x" * 70_000
    assert used_bytes(tmp_path / "1.log") == 70_000


def test_a_file_can_be_filled_to_its_last_byte(mapped: MappedSegment, tmp_path: Path) -> None:
    mapped.append(b"x" * CAPACITY)
    assert used_bytes(tmp_path / "1.log") == CAPACITY
    mapped.finish()
    assert (tmp_path / "1.log").stat().st_size == CAPACITY


@mapping
def test_what_a_death_cut_short_is_neither_read_nor_taken_for_damage(tmp_path: Path) -> None:
    journal = Journal.create(tmp_path / "spool", {}, max_bytes=8 * CAPACITY)
    assert journal.append(encode_frame(record(1)), [record(1)])
    journal.abandon()
    (segment,) = journal.directory.glob("*.log")
    cut_short = encode_frame(record(2))[:-1]
    with segment.open("r+b") as file:
        file.seek(used_bytes(segment))
        file.write(cut_short)
    journal = claim(journal.directory)
    assert numbers(journal) == [1]
    assert journal.damaged == 0
    journal.abandon()


@mapping
def test_damage_in_the_file_written_last_is_reported(tmp_path: Path) -> None:
    journal = Journal.create(tmp_path / "spool", {}, max_bytes=8 * CAPACITY)
    for number in range(3):
        assert journal.append(encode_frame(record(number)), [record(number)])
    journal.abandon()
    (segment,) = journal.directory.glob("*.log")
    with segment.open("r+b") as file:
        file.seek(len(encode_frame(record(0))))
        file.write(bytes(4))  # the length of the second frame: not the end of what is there
    journal = claim(journal.directory)
    assert numbers(journal) == [0]
    assert journal.damaged == 1
    journal.abandon()


KILLED = """
import sys
from pathlib import Path
from octopus_plugins.fabric.record import Record, encode_frame
from octopus_plugins.fabric.spool.journal import Journal

journal = Journal.create(Path(sys.argv[1]), {}, max_bytes=64 * 1024 * 1024)
number = 0
while True:
    records = [Record("task-metrics", f"run/{number + each}".encode(), b"x" * 3000) for each in range(3)]
    assert journal.append(b"".join(map(encode_frame, records)), records)
    number += len(records)
    print(number, flush=True)
"""


@pytest.mark.parametrize("appended", [1, 60, 601])
def test_a_process_that_is_killed_leaves_all_that_it_appended(tmp_path: Path, appended: int) -> None:
    with subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(appended):
            last = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        last = max([last, *(int(line) for line in process.stdout if line.endswith("\n"))])
    (directory,) = tmp_path.iterdir()
    journal = claim(directory)
    found = numbers(journal)
    assert found == list(range(len(found)))
    assert len(found) >= last
    assert journal.damaged == 0
    journal.abandon()


@mapping
def test_a_forked_child_leaves_the_file_as_it_is(tmp_path: Path) -> None:
    journal = Journal.create(tmp_path / "spool", {}, max_bytes=8 * CAPACITY)
    assert journal.append(encode_frame(record(0)), [record(0)])
    child = os.fork()
    if not child:
        journal.abandon()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert journal.append(encode_frame(record(1)), [record(1)])
    journal.abandon()
    journal = claim(journal.directory)
    assert numbers(journal) == [0, 1]
    journal.abandon()


def test_files_that_were_written_and_mapped_are_read_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal.create(tmp_path / "spool", {}, max_bytes=8 * 1024)
    kinds = set()
    for number in range(100):
        monkeypatch.setattr(
            "octopus_plugins.fabric.spool.journal.new_segment", WrittenSegment if number // 30 % 2 else new_segment
        )
        assert journal.append(encode_frame(record(number)), [record(number)])
        kinds.add(type(journal._written))
    assert WrittenSegment in kinds
    journal.abandon()
    journal = claim(journal.directory)
    assert numbers(journal) == list(range(100))
    assert journal.damaged == 0
    journal.abandon()


def test_where_no_room_can_be_promised_files_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "_KEEPING", set())
    segment = new_segment(tmp_path / "1.log", CAPACITY)
    assert isinstance(segment, WrittenSegment)
    segment.append(b"x" * 100)
    assert (tmp_path / "1.log").read_bytes() == b"x" * 100
    segment.finish()


@mapping
def test_where_files_may_not_be_as_large_they_are_written(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        segment = new_segment(tmp_path / "1.log", CAPACITY)
        assert isinstance(segment, WrittenSegment)
        segment.append(b"x" * 900)
        with pytest.raises(OSError, match="No space"):
            segment.append(b"y" * 200)
        assert (tmp_path / "1.log").read_bytes() == b"x" * 900
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    segment.finish()


@mapping
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_is_an_error_that_costs_nothing_of_what_is_there(small_disk: Path) -> None:
    journal = Journal.create(small_disk / "spool", {}, max_bytes=32 * CAPACITY)
    fitting = 0
    with pytest.raises(OSError, match="No space") as full:
        while journal.append(encode_frame(record(fitting, 1000)), [record(fitting, 1000)]):
            fitting += 1
    assert full.value.errno == errno.ENOSPC
    assert isinstance(journal._written, MappedSegment)
    assert fitting > 400, "it is filled to the last page"
    with pytest.raises(OSError, match="No space"):
        journal.append(encode_frame(record(fitting, 5000)), [record(fitting, 5000)])
    subprocess.run(["mount", "-o", "remount,size=1024k", str(small_disk)], check=True)
    assert journal.append(encode_frame(record(fitting, 5000)), [record(fitting, 5000)])
    journal.abandon()
    journal = claim(journal.directory)
    assert numbers(journal) == list(range(fitting + 1))
    assert journal.damaged == 0
    journal.abandon()


@mapping
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_file_that_finds_no_room_is_not_left_behind(small_disk: Path) -> None:
    with (small_disk / "filler").open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(b"x" * 4096)
    with pytest.raises(OSError, match="No space"):
        new_segment(small_disk / "1.log", CAPACITY)
    assert not (small_disk / "1.log").exists()
