"""Layers with made-up inputs and gradients, all statistics of which are computed densely."""

from dataclasses import dataclass

import torch
from torch import Tensor

from core.compression.layer_statistics import LayerStatistics
from core.recipe.statistics import Statistic

SHAPES = [(6, 9), (9, 6), (7, 7)]


@dataclass(frozen=True)
class Problem:
    """One token per example, so that its gradient at the weight is δ xᵀ."""

    weight: Tensor
    x: Tensor
    """[examples, in]"""
    delta: Tensor
    """[examples, out]"""

    @property
    def a(self) -> Tensor:
        return self.x.T @ self.x

    @property
    def g(self) -> Tensor:
        return self.delta.T @ self.delta

    @property
    def fisher(self) -> Tensor:
        """F, [out, in]."""
        return (self.delta.square()[:, :, None] * self.x.square()[:, None, :]).sum(0)

    @property
    def statistics(self) -> LayerStatistics:
        w, a, g = self.weight.double(), self.a, self.g
        sums = {
            Statistic.INPUT_GRAM: a,
            Statistic.OUTPUT_GRAD_GRAM: g,
            Statistic.OUTPUT_GRAM: w @ a @ w.T,
            Statistic.INPUT_GRAD_GRAM: w.T @ g @ w,
            Statistic.FISHER: self.fisher,
            Statistic.FISHER_IN: self.fisher.sum(0),
            Statistic.FISHER_OUT: self.fisher.sum(1),
            Statistic.INPUT_SUM: self.x.sum(0),
            Statistic.INPUT_ABS_SUM: self.x.abs().sum(0),
        }
        traces = {
            Statistic.INPUT_GRAM: float(a.trace()),
            Statistic.OUTPUT_GRAD_GRAM: float(g.trace()),
        }
        return LayerStatistics(sums, len(self.x), len(self.x), traces)


def make_problem(
    out_features: int,
    in_features: int,
    *,
    examples: int = 40,
    seed: int = 0,
    condition: float = 10.0,
    dtype: torch.dtype = torch.float64,
) -> Problem:
    """Features on scales that differ by up to `condition`, on both sides."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    def scales(features: int) -> Tensor:
        exponents = torch.linspace(0, 1, features, dtype=torch.float64)
        return condition ** -exponents[torch.randperm(features, generator=generator)]

    weight = normal(out_features, in_features).to(dtype)
    mixing = normal(in_features, in_features)
    x = normal(examples, in_features) @ torch.linalg.qr(mixing)[0] * scales(in_features)
    delta = normal(examples, out_features) * scales(out_features) / 10
    return Problem(weight, x, delta)


def only(statistics: LayerStatistics, names: frozenset[Statistic]) -> LayerStatistics:
    """What a pass would have kept of these."""
    return LayerStatistics(
        {name: statistics[name] for name in names},
        statistics.examples,
        statistics.tokens,
        statistics.traces,
    )
