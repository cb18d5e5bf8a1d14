from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from parsl_monitor.board import BUSY, VARIABLE, Board, Slot

pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="needs Linux's memfd_create")

WRITER = """
from parsl_monitor.board import BUSY, Board, Slot
board = Board.of_parent()
print(board is not None)
if board is not None:
    board.write(1, Slot(7, BUSY, 11, 1.5, 2.5, 3.5))
"""


@pytest.fixture
def board() -> Iterator[Board]:
    made = Board.create(2)
    assert made is not None
    yield made
    made.close()


def child(path: str) -> str:
    shown = subprocess.run(
        [sys.executable, "-c", WRITER], env={**os.environ, VARIABLE: path}, capture_output=True, text=True, check=True
    )
    return shown.stdout.strip()


def test_what_a_worker_writes_its_pool_reads(board: Board) -> None:
    assert child(board.path) == "True"
    assert board.read(1) == Slot(7, BUSY, 11, 1.5, 2.5, 3.5)
    assert board.read(0) == Slot()


def test_a_worker_of_another_pool_finds_none(board: Board) -> None:
    assert child(board.path.replace(str(os.getpid()), "1")) == "False"
    assert board.read(1) == Slot()


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
