"""What a pass knows of one layer: sums and counts, so that shards add up."""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from core.recipe.statistics import Statistic


@dataclass(frozen=True)
class PruningScores:
    """Σ |S| of the weights that pruning left, float64."""

    rows: Tensor
    """[out]"""
    columns: Tensor
    """[in]"""


@dataclass(frozen=True)
class LayerStatistics:
    """Sums over `examples` calibration examples, `tokens` of whose tokens the layer saw."""

    sums: dict[Statistic, Tensor]
    """float64 (float32 on devices without it): Grams [n, n] or, of a side over 8,192, their
    diagonals [n]; F [out, in]; sums by feature [n]."""
    examples: int
    """N."""
    tokens: int
    """T_l, padding not counted; equal to N for a layer without a token axis."""
    traces: dict[Statistic, float] = field(default_factory=dict)
    """trace A and trace G by `input_gram` and `output_grad_gram`: what damping a Gram needs, also
    on the larger side, whose Gram is not kept."""
    reliability: dict[Statistic, float] = field(default_factory=dict)
    """Split-half reliability, see `split_half`; empty where there were no two halves."""
    scores: PruningScores | None = None
    """No pass's own: kept where the layer was pruned."""

    def __getitem__(self, statistic: Statistic) -> Tensor:
        return self.sums[statistic]

    def __contains__(self, statistic: Statistic) -> bool:
        return statistic in self.sums

    def __add__(self, other: "LayerStatistics") -> "LayerStatistics":
        """Of both shards' examples. Reliability is a pass's own and is not carried over."""
        return LayerStatistics(
            {name: total + other.sums[name] for name, total in self.sums.items()},
            self.examples + other.examples,
            self.tokens + other.tokens,
            {name: trace + other.traces[name] for name, trace in self.traces.items()},
        )

    @property
    def diagonal(self) -> bool:
        """Both sides are too large for Grams: diag A stands for A, diag G for G."""
        return Statistic.INPUT_GRAM in self.sums and self[Statistic.INPUT_GRAM].dim() == 1

    def has(self, *statistics: Statistic) -> bool:
        return all(statistic in self.sums for statistic in statistics)

    def without(self, statistic: Statistic) -> "LayerStatistics":
        others = {name: total for name, total in self.sums.items() if name != statistic}
        return replace(self, sums=others)


def split_half(first: LayerStatistics, second: LayerStatistics) -> LayerStatistics:
    """Both halves' sum, with how well they agree."""
    both = first + second
    if min(first.examples, second.examples) == 0:
        return both
    both.reliability.update(
        {
            name: agreement(total / first.examples, second.sums[name] / second.examples)
            for name, total in first.sums.items()
        }
    )
    return both


def agreement(a: Tensor, b: Tensor) -> float:
    """1 − ‖a − b‖ / ‖a + b‖ of two halves, each per example: 1 where they are equal, 0 where they
    have nothing in common, and 0 where signed sums (`input_sum`) differ by more than they share."""
    size = torch.linalg.vector_norm(a + b)
    if size == 0:
        return 1.0
    return max(0.0, 1 - float(torch.linalg.vector_norm(a - b) / size))
