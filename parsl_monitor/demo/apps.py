"""The demo's apps. Some are wrong in ways that every user of a cluster has met."""

from __future__ import annotations

from typing import Any

from parsl import python_app

# Everything starts on the small nodes; what needs more is moved by the decisions about its failures.
SMALL = ["small"]


@python_app(executors=SMALL)
def covariance_tile(a: Any, b: Any) -> Any:
    """One tile of the covariance matrix. Needs the module ``gptiles``, which one node lacks."""
    import gptiles

    return gptiles.covariance(a, b)


@python_app(executors=SMALL)
def factor_tile(tile: Any) -> Any:
    """Cholesky factor of a diagonal tile."""
    import gptiles

    return gptiles.factor(tile)


@python_app(executors=SMALL)
def solve_tile(tile: Any, diagonal: Any) -> Any:
    """A tile below a factored diagonal tile."""
    import gptiles

    return gptiles.solve(tile, diagonal)


@python_app(executors=SMALL)
def update_tile(tile: Any, left: Any, right: Any) -> Any:
    """Trailing update of a tile."""
    import gptiles

    return gptiles.update(tile, left, right)


@python_app(executors=SMALL)
def scan_lengths(days: Any, lengths: Any) -> Any:
    """Mean covariance for many length scales at once: all matrices together are too much for a small node."""
    import numpy as np

    apart = days[:, None] - days[None, :]
    every = np.exp(-0.5 * (apart[None, :, :] / lengths[:, None, None]) ** 2)
    return every.mean(axis=(1, 2))


@python_app(executors=SMALL)
def season_mean(days: Any, temperatures: Any, marker: str) -> Any:
    """Mean temperature by day of the year. Its first worker is killed, as the kernel's out-of-memory killer would."""
    import os
    import signal
    from pathlib import Path

    import numpy as np

    try:
        Path(marker).touch(exist_ok=False)
    except FileExistsError:
        pass
    else:
        os.kill(os.getpid(), signal.SIGKILL)
    season = np.zeros(366)
    for day in range(366):
        season[day] = temperatures[np.abs((days - day + 183) % 365.25 - 183) <= 7].mean()
    return season


@python_app(executors=SMALL)
def residual_summary(rows: Any) -> Any:
    """A typing mistake: no row has a ``temp_mx``."""
    return max(row["temp_mx"] for row in rows)


@python_app(executors=SMALL)
def publish(summary: Any, season: Any) -> str:
    """Never runs: one of its inputs fails."""
    return f"{summary} {season}"


@python_app(executors=SMALL)
def refine(start: float, walltime: float = 1.0) -> float:
    """A fixed-point iteration that swings between two values for ever, under a walltime."""
    import time

    value = start
    while abs(value - 0.5) > 1e-3:
        value = 1.0 - value
        time.sleep(0.001)
    return value
