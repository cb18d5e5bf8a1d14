"""The scenarios: a graph of small tasks in the manner of TaPS, what goes wrong in it, and what can be resolved."""

from __future__ import annotations

import random
from dataclasses import dataclass

from benchmarks.resilience.nodes import SMALL_NODES, Fault

MAPS = 48
"""Tasks of the first stage; each takes 50–200 ms."""

FAN_IN = 8
"""Tasks of the first stage that one task of the second adds up; a last one adds up those."""

EARLY = 8
"""Doomed tasks are among the first so many: how long the first try waits is nobody's merit, and alike for all."""


@dataclass(frozen=True, slots=True)
class Doomed:
    """A task that no retry can help.

    Attributes:
        app: Name in ``apps``.
        category: What it should be categorised as.
        dependents: How long a chain of tasks depends on it; they are doomed with it.
    """

    app: str
    category: str
    dependents: int = 0


@dataclass(frozen=True, slots=True)
class Scenario:
    """What goes wrong.

    Attributes:
        title: In one line.
        app: What most tasks of the first stage run.
        some: What a few of them, chosen by the seed, run in its place, with how many.
        doomed: Tasks beside the graph that cannot succeed.
        fault: What is wrong with one node of ``small``, chosen by the seed.
        mounted_after: Seconds after the first submission at which a file system that is mounted late is there.
        manager_killed: Whether the worker pool of a node, chosen by the seed, is killed in mid-run.
    """

    title: str
    app: str = "measure"
    some: tuple[tuple[str, int], ...] = ()
    doomed: tuple[Doomed, ...] = ()
    fault: Fault | None = None
    mounted_after: float | None = None
    manager_killed: bool = False


SCENARIOS: dict[str, Scenario] = {
    "none": Scenario("nothing fails"),
    "memory": Scenario("4 tasks need more memory than a small node has", some=(("assemble", 4),)),
    "module": Scenario("one node lacks a module that the tasks need", app="analyse", fault=Fault(no_module=True)),
    "files": Scenario("one node allows too few open files", app="gather", fault=Fault(files=128)),
    "disk": Scenario("the scratch disk of one node is full", app="spill", fault=Fault(scratch_size=1024)),
    "worker": Scenario("the workers of 3 tasks are killed, once each", some=(("fragile", 3),)),
    "manager": Scenario("the worker pool of one node is killed in mid-run", manager_killed=True),
    "flaky": Scenario(
        "one node lacks its shared file system for the first 1.5 s",
        app="look_up",
        fault=Fault(mounted_late=True),
        mounted_after=1.5,
    ),
    "walltime": Scenario(
        "2 tasks hang in a system call once, 1 always does; walltime 1 s",
        some=(("stuck_once", 2),),
        doomed=(Doomed("stuck", "walltime_exceeded"),),
    ),
    "bug": Scenario(
        "3 tasks beside the graph have bugs",
        doomed=(
            Doomed("wrong_key", "code_error"),
            Doomed("wrong_name", "code_error"),
            Doomed("wrong_shape", "code_error"),
        ),
    ),
    "dependency": Scenario(
        "a task beside the graph has a bug, and 4 others depend on it",
        doomed=(Doomed("wrong_key", "code_error", dependents=4),),
    ),
    "mixed": Scenario(
        "one node lacks a module, 2 tasks need more memory, 2 workers are killed, a bug with 2 dependents",
        app="analyse",
        some=(("assemble", 2), ("fragile", 2)),
        doomed=(Doomed("wrong_key", "code_error", dependents=2),),
        fault=Fault(no_module=True),
    ),
}


@dataclass(frozen=True, slots=True)
class Item:
    """A task of the first stage, or a doomed one.

    Attributes:
        name: Tells it apart within the run.
        app: Name in ``apps``.
        number: Its argument.
        seconds: How long it takes when it goes well.
        doomed: What dooms it; None for a task that can end well.
    """

    name: str
    app: str
    number: int
    seconds: float
    doomed: Doomed | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """A scenario with everything that its seed chooses.

    Attributes:
        items: In the order of submission.
        faults: What is wrong with nodes of ``small``, by block id.
        victim: Block id of the node whose worker pool is killed.
        kill_after: Finished tasks after which it is.
        expected: What the last task of the graph returns.
    """

    items: tuple[Item, ...]
    faults: dict[str, Fault]
    victim: str
    kill_after: int
    expected: int


def plan(scenario: Scenario, seed: int) -> Plan:
    """Let the seed choose tasks, nodes and times. Every system gets the same."""
    # A string, so that neighbouring seeds have nothing in common and every version of Python draws the same.
    draw = random.Random(f"octopus resilience {seed}")
    seconds = [round(draw.uniform(0.05, 0.2), 3) for _ in range(MAPS)]
    faulty, victim = str(draw.randrange(SMALL_NODES)), str(draw.randrange(SMALL_NODES))
    kill_after = draw.randint(MAPS // 4, MAPS // 2)
    chosen = draw.sample(range(MAPS), sum(count for _, count in scenario.some))
    apps = dict.fromkeys(range(MAPS), scenario.app)
    for app, count in scenario.some:
        apps.update((chosen.pop(), app) for _ in range(count))
    items = [Item(f"map-{number}", apps[number], number, seconds[number]) for number in range(MAPS)]
    for number, doomed in enumerate(scenario.doomed):
        items.insert(draw.randrange(EARLY), Item(f"doomed-{number}", doomed.app, number, 0.0, doomed))
    return Plan(
        items=tuple(items),
        faults={faulty: scenario.fault} if scenario.fault is not None else {},
        victim=victim,
        kill_after=kill_after,
        expected=sum(number * number for number in range(MAPS)),
    )
