"""Tile kernels of a Gaussian-process regression. The demo's nodes find this module on their PYTHONPATH; one does not.

Covariance of the daily maximum temperature: a yearly wave (MacKay's periodic kernel), weather of a few days
(squared exponential), and noise. See Rasmussen & Williams, Gaussian Processes for Machine Learning, section 5.4.3.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Matrix = Any

YEAR = 365.25
SEASON = 9.0  # amplitude of the yearly wave, °C
SEASON_SHAPE = 1.3  # how far from a sine it may be
WEATHER = 2.8  # amplitude of the weather, °C
WEATHER_DAYS = 3.0  # how long it lasts
NOISE = 1.6  # what no neighbour tells, °C


def covariance(a: Matrix, b: Matrix, weather_days: float = WEATHER_DAYS) -> Matrix:
    """Covariance of the temperatures of days ``a`` (shape (n,)) and ``b`` (shape (m,)), in °C²; shape (n, m)."""
    apart = a[:, None] - b[None, :]
    season = SEASON**2 * np.exp(-2.0 * np.sin(np.pi * apart / YEAR) ** 2 / SEASON_SHAPE**2)
    weather = WEATHER**2 * np.exp(-0.5 * (apart / weather_days) ** 2)
    return season + weather + NOISE**2 * (apart == 0)


def factor(tile: Matrix) -> Matrix:
    """Lower Cholesky factor of a diagonal tile."""
    return np.linalg.cholesky(tile)


def solve(tile: Matrix, diagonal: Matrix) -> Matrix:
    """``tile @ inv(diagonal).T`` for a tile below a factored diagonal tile."""
    return np.linalg.solve(diagonal, tile.T).T


def update(tile: Matrix, left: Matrix, right: Matrix) -> Matrix:
    """Trailing update ``tile - left @ right.T``."""
    return tile - left @ right.T
