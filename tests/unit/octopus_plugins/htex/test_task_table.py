"""Who does what in a pool, and how results leave its workers: between real processes."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from octopus_plugins.htex.observation import WATCHED
from octopus_plugins.htex.pool.task_table import InProgress, PromptResults

pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="needs Linux's memfd_create")

PROGRAM = """
import json, multiprocessing, os, sys
from octopus_plugins.htex.pool.task_table import InProgress, PromptResults

def work(tasks, results, context, size):
    results.put(b"it has come")
    tasks[1] = {"task_id": 17, "context": context, "buffer": b"what it is", "resource_spec": {}}
    tasks[2] = {"task_id": 18, "context": {}}
    tasks.pop(2)
    results.put(b"x" * size)
    os._exit(9)

if __name__ == "__main__":
    size, context = int(sys.argv[1]), json.loads(sys.argv[2])
    spawn = multiprocessing.get_context("spawn")
    tasks, queue = InProgress.create(3), spawn.Queue()
    arguments = (tasks, PromptResults(queue, b"hello"), context, size)
    worker = spawn.Process(target=work, args=arguments)
    worker.start()
    greeted = [queue.get(timeout=60).decode() for _ in range(2)]
    arrived = len(queue.get(timeout=60))
    worker.join()
    queue.put(b"the pool's own")
    found = {"greeted": greeted, "arrived": arrived, "ended": worker.exitcode, "task": tasks.pop(1)}
    found["own"] = queue.get().decode()
    left = []
    for number in range(3):
        try:
            left.append(tasks.pop(number))
        except KeyError:
            pass
    print(json.dumps({**found, "left": left}))
"""


@pytest.fixture
def tasks() -> Iterator[InProgress]:
    made = InProgress.create(3)
    assert made is not None
    yield made
    made.close()


@pytest.mark.parametrize(
    ("size", "watched"),
    [(1, None), (1_000_000, [4, None]), (1, [0, 2.5])],
)
def test_a_worker_s_task_and_its_result_are_with_the_pool_when_it_dies(tmp_path: Path, size: int, watched: Any) -> None:
    context = {"resource_spec": {}} if watched is None else {WATCHED: watched}
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(PROGRAM), encoding="utf-8")
    command = [sys.executable, str(program), str(size), json.dumps(context)]
    found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=120).stdout)
    assert found == {
        "greeted": ["hello", "it has come"],
        "arrived": size,
        "ended": 9,
        "task": {"task_id": 17, "context": {} if watched is None else {WATCHED: watched}},
        "own": "the pool's own",
        "left": [],
    }


def test_a_worker_that_the_pool_does_not_have_is_refused(tasks: InProgress) -> None:
    with pytest.raises(IndexError, match="no worker 3 among 3"):
        tasks[3] = {"task_id": 1, "context": {}}


def test_a_queue_of_another_form_is_left_alone() -> None:
    simple: Any = multiprocessing.get_context("spawn").SimpleQueue()
    assert not PromptResults.fit(simple)
