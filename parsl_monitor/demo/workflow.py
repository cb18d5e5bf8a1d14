"""The demo's workflow: Gaussian-process regression of Seattle's weather by a tiled Cholesky factorisation."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from parsl.config import Config
from parsl.dataflow.dflow import DataFlowKernel
from parsl.providers import LocalProvider

from octopus_plugins.config import OctopusConfig
from octopus_plugins.errors import OctopusError
from parsl_monitor.demo import apps
from parsl_monitor.demo.nodes import Node, NodeLauncher
from parsl_monitor.demo.site import gptiles
from parsl_monitor.executor import OctopusHighThroughputExecutor
from parsl_monitor.hub import OctopusMonitoringHub
from parsl_monitor.retry import WrathRetryHandler

SITE = Path(__file__).parent / "site"
"""Directory of the module ``gptiles``, which the nodes find on their PYTHONPATH."""

SMALL_MEMORY = 1_600
"""Address space of each process on a small node, MiB: enough for every tile, not for the scan of length scales."""

TILE = 220
"""Days per tile of the covariance matrix."""

HELD_OUT = 10
"""Every tenth day is held out, to see how well the others predict it."""


@dataclass(frozen=True, slots=True)
class Weather:
    """Daily maximum temperatures in Seattle, 2012–2015 (NOAA, as vega-datasets ships them).

    Attributes:
        days: Days since the first, shape (n,).
        temperatures: °C, shape (n,).
        rows: The same as records.
    """

    days: Any
    temperatures: Any
    rows: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the regression gave.

    Attributes:
        tasks: Tasks of the workflow.
        difference: Largest difference of the tiled factorisation's prediction from a dense one's, °C.
        error: Root mean square error on the held-out days, °C.
        baseline: The same for the mean of the season, °C.
        raised: What the doomed tasks raised, by app.
    """

    tasks: int
    difference: float
    error: float
    baseline: float
    raised: dict[str, str]

    @property
    def right(self) -> bool:
        """Whether the numbers are as they must be."""
        return self.difference < 1e-6 and self.error < self.baseline


def load_weather() -> Weather:
    """Read the data set from the package that ships it."""
    from vega_datasets import local_data

    frame = local_data.seattle_weather()
    days = (frame["date"] - frame["date"].iloc[0]).dt.days.to_numpy(dtype=float)
    rows = frame[["temp_max", "temp_min", "wind"]].to_dict("records")
    return Weather(days, frame["temp_max"].to_numpy(dtype=float), rows)


def configuration(octopus: OctopusConfig, run_dir: str) -> Config:
    """Two executors: ``small`` with two nodes, of which one lacks a module, and ``large`` with one."""
    site = os.fspath(SITE)
    small = {"0": Node(SMALL_MEMORY, site), "1": Node(SMALL_MEMORY, None)}
    large = {"*": Node(None, site)}
    return Config(
        executors=[_executor("small", 2, small), _executor("large", 1, large)],
        monitoring=OctopusMonitoringHub(workflow_name="seattle-weather", octopus=octopus),
        retries=3,
        retry_handler=WrathRetryHandler(ladder=["small", "large"]),
        strategy="none",
        strategy_period=0.5,  # Parsl asks for the first block that much later, 5 s by default
        run_dir=run_dir,
    )


def _executor(label: str, blocks: int, nodes: dict[str, Node]) -> OctopusHighThroughputExecutor:
    return OctopusHighThroughputExecutor(
        label=label,
        address="127.0.0.1",
        max_workers_per_node=1,
        cores_per_worker=0.1,
        heartbeat_period=1,
        heartbeat_threshold=10,
        node_heartbeat_period=2.0,
        provider=LocalProvider(
            init_blocks=blocks, min_blocks=blocks, max_blocks=blocks, launcher=NodeLauncher(label, nodes)
        ),
    )


def wait_for_nodes(dfk: DataFlowKernel, deadline: float = 60.0) -> None:
    """Wait until every node has come, so that each gets its share of the work.

    Raises:
        OctopusError: One has not come within ``deadline`` seconds; says where its log is.
    """
    end = time.monotonic() + deadline
    for label in ("small", "large"):
        executor: Any = dfk.executors[label]
        while len(executor.connected_managers()) < executor.provider.init_blocks:
            if time.monotonic() > end:
                raise OctopusError(f"a node of {label!r} has not come within {deadline:g} s; see {executor.logdir}")
            time.sleep(0.05)


def run(dfk: DataFlowKernel, weather: Weather, scratch: Path) -> Outcome:
    """Run the workflow to its end.

    Args:
        dfk: The loaded DataFlowKernel.
        weather: The data.
        scratch: Directory for the marker of the worker that is killed.

    Returns:
        What it gave.
    """
    held_out = np.arange(len(weather.days)) % HELD_OUT == HELD_OUT - 1
    days, temperatures = weather.days[~held_out], weather.temperatures[~held_out]
    tiles = _submit_factorisation(days)
    season = apps.season_mean(days, temperatures, os.fspath(scratch / "season-mean-was-killed"))
    lengths = apps.scan_lengths(days, np.linspace(1.0, 30.0, 96))
    summary = apps.residual_summary(weather.rows)
    doomed = {
        "residual_summary": summary,
        "publish": apps.publish(summary, season),
        "refine": apps.refine(0.1234),
    }
    factor = _gather(tiles, days)
    mean = temperatures.mean()
    half = np.linalg.solve(factor, temperatures - mean)
    weights = np.linalg.solve(factor.T, half)

    cross = gptiles.covariance(weather.days[held_out], days)
    predicted = mean + cross @ weights
    dense = mean + cross @ np.linalg.solve(gptiles.covariance(days, days), temperatures - mean)
    seasonal = season.result()[(weather.days[held_out] % 365.25).astype(int)]
    if not np.all(np.diff(lengths.result()) > 0):
        raise ArithmeticError("mean covariance must grow with the length scale")
    truth = weather.temperatures[held_out]
    return Outcome(
        tasks=dfk.task_count,
        difference=float(np.abs(predicted - dense).max()),
        error=_rms(predicted - truth),
        baseline=_rms(seasonal - truth),
        raised={app: type(future.exception()).__name__ for app, future in doomed.items() if future.exception()},
    )


def _submit_factorisation(days: Any) -> dict[tuple[int, int], Any]:
    """Futures of the tiles of the covariance's lower Cholesky factor: right-looking, tile by tile."""
    parts = [days[start : start + TILE] for start in range(0, len(days), TILE)]
    count = len(parts)
    tiles: dict[tuple[int, int], Any] = {
        (i, j): apps.covariance_tile(parts[i], parts[j]) for i in range(count) for j in range(i + 1)
    }
    for k in range(count):
        tiles[k, k] = apps.factor_tile(tiles[k, k])
        for i in range(k + 1, count):
            tiles[i, k] = apps.solve_tile(tiles[i, k], tiles[k, k])
        for i in range(k + 1, count):
            for j in range(k + 1, i + 1):
                tiles[i, j] = apps.update_tile(tiles[i, j], tiles[i, k], tiles[j, k])
    return tiles


def _gather(tiles: dict[tuple[int, int], Any], days: Any) -> Any:
    """The factor as one matrix, shape (n, n)."""
    factor = np.zeros((len(days), len(days)))
    for (i, j), future in tiles.items():
        tile = future.result()
        factor[i * TILE : i * TILE + tile.shape[0], j * TILE : j * TILE + tile.shape[1]] = tile
    return factor


def _rms(values: Any) -> float:
    return float(np.sqrt(np.mean(values**2)))
