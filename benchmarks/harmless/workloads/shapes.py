"""Shapes of workflows, with which little or nothing is wrong."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

from parsl.dataflow.memoization import BasicMemoizer

from benchmarks.harmless.trial import Task, Trial
from benchmarks.harmless.workload import IdleRule, Size, Workload
from benchmarks.harmless.workloads.mishaps import nap

LARGE, MEDIUM = 100 << 20, 40 << 20


def nothing(number: int) -> int:
    """Does nothing."""
    return number


def step(before: int, fails: bool, seconds: float) -> int:
    """One step of a chain."""
    time.sleep(seconds)
    if fails:
        raise ValueError("the first step had no data")
    return before + 1


def swallow(data: bytes) -> int:
    """Takes 100 MB."""
    return len(data)


def produce(number: int) -> bytes:
    """Returns 100 MB."""
    return bytes([number]) * LARGE


def compute(number: int, seconds: float) -> bytes:
    """Returns 40 MB after a while."""
    time.sleep(seconds)
    return bytes([number]) * MEDIUM


def summed(inputs: Any = ()) -> float:
    """Takes values, not files, as inputs."""
    return float(sum(inputs[0]))


def write_file(number: int, outputs: tuple[Any, ...] = ()) -> None:
    """Write a file that a command will read."""
    time.sleep(0.2)
    Path(outputs[0].filepath).write_text(f"{number}\n", encoding="utf-8")


def double_file(inputs: tuple[Any, ...] = (), outputs: tuple[Any, ...] = (), **streams: Any) -> str:
    """A command that reads a file and writes another; says so on both streams."""
    return f"sleep 0.2; echo $((2 * $(cat {inputs[0]}))) > {outputs[0]}; echo doubled; echo carefully >&2"


def read_file(inputs: tuple[Any, ...] = ()) -> int:
    """Read what the command wrote."""
    return int(Path(inputs[0].filepath).read_text(encoding="utf-8"))


def slow_square(number: int) -> int:
    """Leaves a trace of each time that it really runs."""
    from benchmarks.harmless.recording import next_try

    next_try(f"square-{number}")
    time.sleep(0.4)
    return number * number


def waves(trial: Trial) -> None:
    """Two short tasks for each node, again and again."""
    app = trial.app(nap)
    for wave in range(max(1, trial.size.tasks // (2 * trial.size.nodes))):
        for number in range(2 * trial.size.nodes):
            trial.submit(app, wave + number, 0.3, value=wave + number)
        trial.wait()


def noop(trial: Trial) -> None:
    """Tasks that do nothing."""
    app = trial.app(nothing)
    for number in range(trial.size.tasks):
        trial.submit(app, number, value=number)


def few_long(trial: Trial) -> None:
    """Tasks of 10 s."""
    app = trial.app(nap)
    for number in range(trial.size.tasks):
        trial.submit(app, number, 10.0, value=number)


def heavy_tail(trial: Trial) -> None:
    """Most tasks are short, few are long."""
    app, chosen = trial.app(nap), random.Random(trial.seed)
    for number in range(trial.size.tasks):
        trial.submit(app, number, min(chosen.lognormvariate(-1.6, 1.1), 4.0), value=number)


def chains(trial: Trial) -> None:
    """Chains of five; one root in four fails, and with it what depends on it."""
    app = trial.app(step)
    for number in range(trial.size.tasks // 5):
        fails = number % 4 == 1
        future: Any = trial.submit(app, 0, fails, 0.2, value=1, error="ValueError" if fails else None)
        for depth in range(2, 6):
            future = trial.submit(app, future, False, 0.2, value=depth, error="DependencyError" if fails else None)


def files(trial: Trial) -> None:
    """Files that are written, doubled by a command, and read; every fourth is not there."""
    from parsl import File

    write, double, read = trial.app(write_file), trial.app(double_file, bash=True), trial.app(read_file)
    for number in range(trial.size.tasks // 3):
        raw, doubled = (File(str(trial.directory / f"{name}-{number}")) for name in ("raw", "doubled"))
        streams = {name: str(trial.directory / f"{name}-{number}.txt") for name in ("stdout", "stderr")}
        written = trial.submit(write, number, outputs=[raw])
        made = trial.submit(double, inputs=[written.outputs[0]], outputs=[doubled], value=0, **streams)
        trial.submit(read, inputs=[made.outputs[0]], value=2 * number)
    trial.wait()
    said = list(trial.directory.glob("stdout-*.txt"))
    trial.facts["files of what the commands said"] = len(said)
    trial.facts["what they said"] = sorted({file.read_text(encoding="utf-8") for file in said})


def memos(trial: Trial) -> None:
    """The same calls again and again: each is made once, and found in the checkpoint afterwards."""
    app = trial.app(slow_square, cache=True, ignore_for_cache=["key"])
    for turn in range(3):
        for number in range(trial.size.tasks // 3):
            trial.submit(app, number, value=number * number, key=f"square-{number}-{turn}")
        trial.wait()
    traces = (trial.directory / "markers").glob("square-*")
    trial.facts["calls that were made"] = sum(len(trace.read_bytes()) for trace in traces)
    trial.facts["checkpoints"] = len(list(trial.directory.glob("runinfo/*/checkpoint/*")))


def joins(trial: Trial) -> None:
    """Join apps that start three tasks each; in one of four, one of the three fails."""
    from parsl import join_app

    app = trial.app(step)

    def fan(number: int) -> Any:
        fails = number % 4 == 1
        return [app(number, fails and part == 1, 0.25, key=f"fan-{number}-{part}") for part in range(3)]

    join = join_app(fan, data_flow_kernel=trial.dfk)
    for number in range(trial.size.tasks // 4):
        error = "JoinError" if number % 4 == 1 else None
        now = time.time()
        trial.watch(Task(f"fan-{number}", join(number), [number + 1] * 3, error, [], now))


def hundred_megabytes(trial: Trial) -> None:
    """Arguments and results of 100 MB each."""
    takes, gives = trial.app(swallow), trial.app(produce)
    for number in range(trial.size.tasks // 2):
        trial.submit(takes, bytes(LARGE), value=LARGE)
        trial.submit(gives, number, value=bytes([number]) * LARGE)


def forty_megabytes(trial: Trial) -> None:
    """Results of 40 MB, each after some work, looked at one after the other."""
    app = trial.app(compute)
    for number in range(trial.size.tasks):
        trial.submit(app, number, 0.4, value=bytes([number]) * MEDIUM)


def bulky_inputs(trial: Trial) -> None:
    """A long list of numbers as one of the inputs."""
    app, numbers = trial.app(summed), [float(number) for number in range(200_000)]
    for _ in range(trial.size.tasks):
        trial.submit(app, inputs=[numbers], value=float(sum(numbers)))


WORKLOADS = (
    Workload("noop", "2,000 tasks that do nothing", noop, Size(1, 4, 2000), short=Size(1, 2, 300)),
    Workload("eight-nodes", "2 short tasks for each of eight nodes, 10 times", waves, Size(8, 1, 160)),
    Workload("few-long", "6 tasks of 10 s", few_long, Size(3, 2, 6)),
    Workload("heavy-tail", "durations with a heavy tail, up to 4 s", heavy_tail, Size(3, 2, 120)),
    Workload("chains", "chains of five tasks, one root in four fails", chains, Size(3, 2, 200), retries=1),
    Workload("files", "files written, doubled by bash apps with stdout and stderr, read", files, Size(3, 2, 150)),
    Workload(
        "memoised",
        "memoised calls, checkpoints",
        memos,
        Size(3, 2, 240),
        options={"memoizer": BasicMemoizer(checkpoint_mode="task_exit")},
        idle=IdleRule.NOT_JUDGED,
    ),
    Workload("joins", "join apps with three tasks each, one in four fails", joins, Size(3, 2, 200), retries=1),
    Workload(
        "hundred-megabytes",
        "arguments and results of 100 MB",
        hundred_megabytes,
        Size(1, 2, 4),
        idle=IdleRule.NOT_JUDGED,  # a node waits for what is on its way
    ),
    Workload(
        "forty-megabytes",
        "results of 40 MB after 0.4 s each",
        forty_megabytes,
        Size(1, 1, 16),
        idle=IdleRule.NOT_JUDGED,  # as above
    ),
    Workload(
        "bulky-inputs", "a list of 200,000 numbers in inputs=", bulky_inputs, Size(1, 2, 60), idle=IdleRule.NOT_JUDGED
    ),
)
