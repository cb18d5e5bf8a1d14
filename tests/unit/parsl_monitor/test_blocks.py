"""How blocks stand, and how many more their tasks need."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from parsl.jobs.states import JobState, JobStatus

from parsl_monitor.blocks import needed_blocks, sort_blocks, strategy_scales_out, wanted_blocks


@dataclass
class Provider:
    init_blocks: int = 1
    min_blocks: int = 0
    max_blocks: int = 10
    nodes_per_block: int = 1
    parallelism: float = 1.0


@dataclass
class Executor:
    tasks: int = 5
    workers_per_node: int = 2
    provider: Provider = field(default_factory=Provider)

    def outstanding(self) -> int:
        return self.tasks


def statuses(*states: JobState) -> dict[str, JobStatus]:
    return {str(number): JobStatus(state) for number, state in enumerate(states)}


def manager(block: str, *, workers: int = 2, tasks: int = 0, **changes: Any) -> dict[str, Any]:
    return {"block_id": block, "worker_count": workers, "tasks": tasks, "active": True, "draining": False, **changes}


R, P, F, C, M, S, U = (
    JobState.RUNNING,
    JobState.PENDING,
    JobState.FAILED,
    JobState.COMPLETED,
    JobState.MISSING,
    JobState.SCALED_IN,
    JobState.UNKNOWN,
)


def test_blocks_are_sorted_by_what_became_of_them() -> None:
    blocks = sort_blocks(statuses(R, P, F, M, S, U, C), ["0", "2", "4", "6"], [manager("0")], 7)
    assert blocks.connected == {"0"}
    assert blocks.starting == {"1", "5"}
    assert blocks.lost == {"2", "6"}
    assert blocks.unborn == {"3"}
    assert blocks.live == 3


def test_a_block_whose_manager_serves_is_alive_whatever_the_scheduler_says() -> None:
    blocks = sort_blocks(statuses(C, M, F), ["0", "1", "2"], [manager("0"), manager("1")], 3)
    assert blocks.connected == {"0", "1"}
    assert blocks.lost == {"2"}


def test_a_manager_of_no_block_of_ours_is_nobody_s() -> None:
    blocks = sort_blocks(statuses(F), ["", "0", "by hand"], [manager("by hand")], 1)
    assert (blocks.live, blocks.lost) == (0, {"0"})


def test_failed_starts_are_replacements_since_the_last_that_connected() -> None:
    assert sort_blocks(statuses(F, F, M, M), ["0"], [], 2).failed_starts == 2
    assert sort_blocks(statuses(F, F, M, C), ["0", "3"], [], 2).failed_starts == 0
    assert sort_blocks(statuses(F, M), ["0"], [], 2).failed_starts == 0


@pytest.mark.parametrize(
    ("states", "history", "options", "scales", "wanted"),
    [
        ((S, S, S, F), "0123", {"init_blocks": 4}, False, 1),
        ((S, S, S, F), "0123", {"init_blocks": 4, "min_blocks": 2}, False, 2),
        ((F, F, F, F), "0123", {"init_blocks": 4}, False, 4),
        ((F, F, F, F), "0123", {"init_blocks": 4, "max_blocks": 2}, False, 2),
        ((F, F, F, M), "012", {"init_blocks": 4}, False, 3),
        ((F, F, M, M), "01", {"init_blocks": 2}, False, 2),
        ((F,), "0", {"init_blocks": 0}, False, 1),
        ((F, F), "01", {"init_blocks": 2}, True, 0),
        ((F, F), "01", {"init_blocks": 2, "min_blocks": 2}, True, 2),
    ],
)
def test_wanted_are_the_initial_blocks_that_were_neither_scaled_in_nor_never_came(
    states: Any, history: str, options: dict[str, int], scales: bool, wanted: int
) -> None:
    provider, status = Provider(**options), statuses(*states)  # type: ignore[arg-type]
    blocks = sort_blocks(status, list(history), [], provider.init_blocks)
    assert wanted_blocks(provider, status, blocks, scales=scales) == wanted


@pytest.mark.parametrize(
    ("tasks", "states", "managers", "needed"),
    [
        (5, (F,), [], 3),
        (4, (F, R), [manager("1", tasks=2)], 1),
        (2, (F, R), [manager("1", tasks=2)], 0),
        (4, (F, R), [manager("1", tasks=0)], 1),
        (2, (F, R), [manager("1", tasks=0)], 0),
        (4, (F, P), [], 1),
        (2, (F, P), [], 0),
        (4, (F, R), [manager("1", tasks=2, active=False)], 1),
        (0, (F,), [], 0),
    ],
)
def test_needed_is_what_waiting_tasks_fill(tasks: int, states: Any, managers: list[Any], needed: int) -> None:
    status = statuses(*states)
    history = [str(each["block_id"]) for each in managers]
    blocks = sort_blocks(status, ["0", *history], managers, 1)
    assert needed_blocks(Executor(tasks), blocks, managers) == needed


@pytest.mark.parametrize(
    ("tasks", "states", "options", "scales_out"),
    [
        (5, (F,), {}, True),
        (5, (F, R), {}, True),
        (2, (F, R), {}, False),
        (5, (F, R), {"parallelism": 0.4}, False),
        (5, (F,), {"parallelism": 0.0}, True),
        (0, (F,), {}, False),
        (5, (F, R), {"max_blocks": 1}, False),
        (5, (U,), {}, True),
    ],
)
def test_the_strategy_is_foretold(tasks: int, states: Any, options: dict[str, Any], scales_out: bool) -> None:
    executor = Executor(tasks, provider=Provider(**options))
    assert strategy_scales_out(executor, statuses(*states)) is scales_out


@pytest.mark.parametrize("tasks", [0, 1, 2, 3, 5, 20])
@pytest.mark.parametrize("parallelism", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("states", [(F,), (F, R), (R, P), (U, F), (R, R, R)])
def test_the_strategy_does_what_is_foretold(tasks: int, parallelism: float, states: Any) -> None:
    from parsl.jobs.strategy import Strategy

    asked: list[int] = []

    class Pool(Executor):
        label = "pool"
        bad_state_is_set = False
        status_facade = statuses(*states)
        scale_out_facade = asked.append

        def scale_in_facade(self, *_: Any, **__: Any) -> None: ...

    pool = Pool(tasks, provider=Provider(parallelism=parallelism, max_blocks=3))
    strategy = Strategy(strategy="simple", max_idletime=100.0)
    strategy.executors["pool"] = {"idle_since": None, "first": False}
    strategy.strategize([pool])
    assert bool(asked) is strategy_scales_out(pool, pool.status_facade)
