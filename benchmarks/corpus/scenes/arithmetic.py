"""Arithmetic that breaks down."""

# ruff: noqa: PLR0124 - as users write it
from __future__ import annotations

from typing import Any

from benchmarks.corpus.cases import Cases, Scene
from octopus_plugins.wrath import Category

CASES = Cases()
NUMBERS = Category.numerical_error


@CASES.python(NUMBERS)
def zero_division() -> Any:
    """Divides by zero."""
    return 1 / 0


@CASES.python(NUMBERS)
def overflow() -> Any:
    """Raises e to a power too large for a float."""
    import math

    return math.exp(1e4)


@CASES.python(NUMBERS, structured=False)
def domain_error() -> Any:
    """The logarithm of a negative number."""
    import math

    return math.log(-1.0)


@CASES.python(NUMBERS)
def decimal_division() -> Any:
    """Divides a Decimal by zero."""
    import decimal

    return decimal.Decimal(1) / decimal.Decimal(0)


@CASES.python(NUMBERS)
def decimal_invalid() -> Any:
    """Subtracts infinite Decimals."""
    import decimal

    return decimal.Decimal("Infinity") - decimal.Decimal("Infinity")


@CASES.python(NUMBERS)
def fraction_of_zero() -> Any:
    """Makes a Fraction with denominator zero."""
    import fractions

    return fractions.Fraction(1, 0)


@CASES.python(NUMBERS)
def numpy_overflow() -> Any:
    """Overflows where NumPy was told to raise."""
    import numpy as np

    with np.errstate(all="raise"):
        return np.float64(1e300) * np.array([1e300])


@CASES.python(NUMBERS)
def singular_matrix() -> Any:
    """Inverts a singular matrix."""
    import numpy as np

    return np.linalg.inv(np.ones((3, 3)) * 0)


@CASES.python(NUMBERS)
def not_positive_definite() -> Any:
    """Factorises a matrix that is not positive definite."""
    import numpy as np

    return np.linalg.cholesky(-np.eye(4))


@CASES.python(NUMBERS)
def svd_of_nan() -> Any:
    """A singular value decomposition that does not converge."""
    import numpy as np

    return np.linalg.svd(np.full((3, 3), np.nan))


@CASES.python(NUMBERS)
def wrapped_singular_matrix() -> Any:
    """A singular matrix below the exception of a library."""
    import numpy as np

    try:
        return np.linalg.solve(np.zeros((2, 2)), np.ones(2))
    except np.linalg.LinAlgError as error:
        raise RuntimeError("Newton step failed") from error


@CASES.python(NUMBERS, structured=False)
def nan_to_integer() -> Any:
    """Makes an integer of NaN."""
    return int(float("nan"))


@CASES.python(NUMBERS)
def infinity_to_integer() -> Any:
    """Makes an integer of infinity."""
    return int(float("inf"))


@CASES.python(NUMBERS, structured=False)
def pandas_nan_to_integer() -> Any:
    """Casts a column with NaN to integers."""
    import pandas as pd

    return pd.Series([1.0, float("nan")]).astype(int)


@CASES.python(NUMBERS, structured=False)
def loss_is_nan() -> Any:
    """The task's own check finds NaN and raises ValueError."""
    loss = float("inf") - float("inf")
    if loss != loss:
        raise ValueError("loss is NaN at step 12: training diverged")


SCENES = [Scene("arithmetic", CASES)]
