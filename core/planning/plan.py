"""What planning works on and what it answers: layers, truncation curves, and the plan."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

Use = Literal["linear", "lookup", "tied"]
"""How a target is used: as a matrix that multiplies; as a token embedding, whose columns (W is
[dim, vocab]) are looked up; or as one that is also the language model's head."""
Ranks = Mapping[str, int | None]
"""Of every target layer, by name; None stays dense."""


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
    phi: float | None = None
    """Where plain SVD will hurt, see `core.compression.statistics.phi`; None without the Fisher of
    every weight."""


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
    phi: float | None = None


class LeftModules(BaseModel):
    """Modules that stay as they are."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str
    """As stored; a star stands for the numbers of modules that differ in nothing else."""
    count: int
    params: int
    """Of all of them."""
    reason: str


class Candidate(BaseModel):
    """Ranks that were factorized and measured on the validation split, in search of a plan."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    keep_ratio: float
    """Of the target layers' parameters."""
    predicted_loss_increase: float | None
    """None where the method has no loss unit."""
    measured_loss_increase: float
    """Of the mean example loss; of the task's loss metric where it has no labels."""
    metric: str | None = None
    value: float | None = None
    drop: float | None = None
    """By how much the metric is worse than the dense model's, whichever way it points."""
    drop_interval: tuple[float, float] | None = None
    """Paired: dense and candidate on the same rows."""
    meets: bool | None = None
    """Whether the budget's max_drop is met, by the drop itself."""
    keep_ratios: dict[str, float] = {}
    """By type of layer, where ratios were searched for by type."""


class Plan(BaseModel):
    """Ranks for a budget, before anything is factorized."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    layers: tuple[LayerPlan, ...]
    target_params_before: int
    target_params_after: int
    model_params_before: int
    model_params_after: int
    predicted_loss_increase: float | None
    """Sum over layers; it ranks choices, as a number it is several times too low."""
    left: tuple[LeftModules, ...] = ()
    """Matrices of the checkpoint that are no targets, and why."""
    loss_factor: float | None = None
    """Measured over predicted increase of plans of this model and method, where some were measured
    on the validation split."""
    expected_loss_increase: float | None = None
    """predicted_loss_increase · loss_factor."""
    candidates: tuple[Candidate, ...] = ()
    """What was measured in search of this plan, in its order."""

    @property
    def keep_ratio(self) -> float:
        return self.target_params_after / self.target_params_before

    def with_factor(self, factor: float | None) -> "Plan":
        """With what the predicted increase has to be multiplied by, as far as it is known."""
        predicted = self.predicted_loss_increase
        expected = None if factor is None or predicted is None else factor * predicted
        return self.model_copy(update={"loss_factor": factor, "expected_loss_increase": expected})

    @property
    def ranks(self) -> Ranks:
        """None where a layer stays dense."""
        return {layer.name: layer.rank for layer in self.layers}

    def rank_of(self, name: str) -> int | None:
        return next(layer.rank for layer in self.layers if layer.name == name)
