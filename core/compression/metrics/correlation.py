"""Correlations of two columns of numbers, and of every resample of their rows."""

import numpy as np
from numpy.typing import NDArray

from core.compression.metrics.metric import Counts, Metric, Rows, Values, of_sums, ratio

NOTHING = 1e-20
"""A variance below this share of the second moment is rounding: the column is constant."""


def pearson(answers: Rows, numbers: Rows) -> Metric:
    """Pearson's r; 0 where one side is constant."""
    x, y = answers - answers.mean(), numbers - numbers.mean()
    parts = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=1)
    return of_sums("pearson", parts, _correlation)


def _correlation(sums: Values) -> Values:
    n, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    spread_x, spread_y = _spread(n, x, xx), _spread(n, y, yy)
    return np.clip(ratio(n * xy - x * y, np.sqrt(spread_x * spread_y)), -1, 1)


def _spread(n: Values, x: Values, xx: Values) -> Values:
    spread = n * xx - x * x
    return np.where(spread > NOTHING * n * xx, spread, 0)


def spearman(answers: Rows, numbers: Rows) -> Metric:
    """Spearman's ρ: Pearson's r of the ranks, ties at their mean rank.

    A resample's ranks follow from how often each row was drawn: a group of equal values that begins
    after `before` rows and holds `held` has the rank before + (held + 1) / 2.
    """
    ranked = (_Ranked(answers), _Ranked(numbers))

    def of(counts: Counts) -> Values:
        drawn = counts.astype(np.float64)
        a, b = (column.ranks(drawn) for column in ranked)
        n = drawn.sum(axis=1, keepdims=True)
        a, b = a - (n + 1) / 2, b - (n + 1) / 2
        covariance = (drawn * a * b).sum(axis=1)
        spreads = (drawn * a * a).sum(axis=1) * (drawn * b * b).sum(axis=1)
        return np.asarray(np.clip(ratio(covariance, np.sqrt(spreads)), -1, 1))

    whole = of(np.ones((1, len(answers)), dtype=np.float32))
    return Metric("spearman", float(whole[0]), of)


class _Ranked:
    """A column's order, found once."""

    def __init__(self, values: Rows):
        distinct, self._group = np.unique(values, return_inverse=True)
        self._order = np.argsort(self._group, kind="stable")
        self._starts = np.searchsorted(self._group[self._order], np.arange(len(distinct)))

    def ranks(self, drawn: NDArray[np.float64]) -> NDArray[np.float64]:
        """[samples, n]: the mean rank of each row's value in each resample."""
        held = np.add.reduceat(drawn[:, self._order], self._starts, axis=1)
        before = np.cumsum(held, axis=1) - held
        return np.asarray((before + (held + 1) / 2)[:, self._group])


def row_spearman(answers: NDArray[np.float64], numbers: NDArray[np.float64]) -> Rows:
    """Spearman's ρ of each row of two matrices [n, m]: [n]; 0 where one side is constant."""
    a, b = _centred_ranks(answers), _centred_ranks(numbers)
    spreads = (a * a).sum(axis=1) * (b * b).sum(axis=1)
    return np.asarray(np.clip(ratio((a * b).sum(axis=1), np.sqrt(spreads)), -1, 1))


def _centred_ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    ones = np.ones((1, values.shape[1]))
    ranks = np.stack([_Ranked(row).ranks(ones)[0] for row in values])
    return np.asarray(ranks - (values.shape[1] + 1) / 2)
