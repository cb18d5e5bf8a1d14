from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from octopus_plugins.htex.worker_table import BUSY, Board, Slot, adopt

pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="needs Linux's memfd_create")

WRITER = """
import sys
from octopus_plugins.htex.worker_table import BUSY, Board, Slot, adopt
adopt(sys.argv[1] or None)
board = Board.of_pool()
print(board is not None)
if board is not None:
    board.write(1, Slot(7, BUSY, 11, 1.5, 2.5, 3.5, 4.5, 5.5, 1, 12, 3, "näpp".encode()))
"""


@pytest.fixture
def board() -> Iterator[Board]:
    made = Board.create(2)
    assert made is not None
    yield made
    made.close()


def child(path: str) -> str:
    shown = subprocess.run([sys.executable, "-c", WRITER, path], capture_output=True, text=True, check=True)
    return shown.stdout.strip()


def test_what_a_worker_writes_its_pool_reads(board: Board) -> None:
    assert child(board.path) == "True"
    assert board.read(1) == Slot(7, BUSY, 11, 1.5, 2.5, 3.5, 4.5, 5.5, 1, 12, 3, "näpp".encode())
    assert board.read(0) == Slot()


def test_what_a_worker_forks_finds_none(board: Board) -> None:
    adopt(board.path)
    try:
        read, write = os.pipe()
        if (pid := os.fork()) == 0:
            os.write(write, str(Board.of_pool() is None).encode())
            os._exit(0)
        os.waitpid(pid, 0)
        assert os.read(read, 16) == b"True"
        mine = Board.of_pool()
        assert mine is not None
        mine.close()
    finally:
        adopt(None)


@pytest.mark.parametrize("path", ["", "/proc/self/fd/99", "/tmp/board"])
def test_without_a_board_a_worker_does_without(path: str) -> None:
    assert child(path) == "False"


def test_a_closed_board_is_not_found(board: Board) -> None:
    other = Board.create(1)
    assert other is not None
    path = other.path
    other.close()
    assert child(path) == "False"


def test_a_line_that_the_board_lacks_is_ignored(board: Board) -> None:
    board.write(-1, Slot(1))
    board.write(2, Slot(1))
    assert board.read(2) == board.read(-1) == Slot()
    assert board.read(0) == board.read(1) == Slot()
