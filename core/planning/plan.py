"""What planning works on and what it answers: layers, truncation curves, and the plan."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

Use = Literal["linear", "lookup", "tied"]
"""How a target is used: as a matrix that multiplies; as a token embedding, whose columns (W is
[dim, vocab]) are looked up; or as one that is also the language model's head."""


@dataclass(frozen=True)
class TargetLayer:
    """A factorizable linear layer ``y = W x + b``, W [out_features, in_features]."""

    name: str
    """Module name in the transformers model, e.g. bert.encoder.layer.0.attention.self.query."""
    out_features: int
    in_features: int
    use: Use = "linear"

    @property
    def params(self) -> int:
        return self.out_features * self.in_features

    @property
    def full_rank(self) -> int:
        return min(self.out_features, self.in_features)

    @property
    def rank_cost(self) -> int:
        """Parameters that one more unit of rank costs."""
        return self.out_features + self.in_features

    @property
    def break_even_rank(self) -> int:
        """The largest rank whose factors are no larger than the dense matrix."""
        return self.params // self.rank_cost


@dataclass(frozen=True)
class Spectrum:
    """What truncating one layer costs under one method."""

    squared_singular_values: NDArray[np.float64]
    """[r], descending, in the method's own weighted norm."""
    predicted_increase: NDArray[np.float64] | None
    """None where the method has no loss unit and no two-sided statistics were taken.
    [r + 1]: predicted increase of the mean example loss when ranks above k are dropped,
    k = 0..r, non-increasing; the last entry is what the full rank still costs (0 but for
    methods that are not exact there)."""


class LayerPlan(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    out_features: int
    in_features: int
    rank: int | None
    """None: left dense."""
    params_before: int
    params_after: int
    retained_energy: float | None = None
    predicted_loss_increase: float | None = None
    use: Use = "linear"


class Plan(BaseModel):
    """Ranks for a budget, before anything is factorized."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layers: tuple[LayerPlan, ...]
    target_params_before: int
    target_params_after: int
    model_params_before: int
    model_params_after: int
    predicted_loss_increase: float | None
    """Sum over layers; it ranks choices, as a number it is several times too low."""

    @property
    def keep_ratio(self) -> float:
        return self.target_params_after / self.target_params_before

    def rank_of(self, name: str) -> int | None:
        return next(layer.rank for layer in self.layers if layer.name == name)
