"""What a metric is: a number of any resample of the rows, so that its interval needs no formula."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float64]
"""[n]: one number per row of the split."""
Counts = NDArray[np.float32]
"""[samples, n]: how often each row is drawn."""
Values = NDArray[np.float64]
"""[samples]"""


@dataclass(frozen=True)
class Metric:
    """One number of a split of n rows, and of any resample of them."""

    name: str
    value: float
    of: Callable[[Counts], Values]


def mean(name: str, rows: Rows) -> Metric:
    """The mean over rows."""
    return Metric(name, float(rows.mean()), lambda counts: counts @ rows / len(rows))


def of_sums(name: str, sums: NDArray[np.float64], value: Callable[[Values], Values]) -> Metric:
    """A function of sums over rows: `sums` [n, s] are each row's parts, `value` maps [..., s] to
    [...]."""
    return Metric(name, float(value(sums.sum(axis=0))), lambda counts: value(counts @ sums))


def ratio(over: Values, under: Values) -> Values:
    """Elementwise, 0 where the denominator is."""
    safe = np.where(under == 0, 1, under)
    return np.asarray(np.where(under == 0, 0.0, over / safe))
