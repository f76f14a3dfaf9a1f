"""How small the result must be, and how the ranks are spread over the layers."""

from typing import Annotated, Literal

from pydantic import Field

from core.recipe.config import Array, Config

Scope = Literal["targets", "model"]


class KeepRatioBudget(Config):
    """Keep at most this share of the parameters in scope."""

    type: Literal["keep_ratio"] = "keep_ratio"
    value: float = Field(gt=0, le=1)
    scope: Scope = "targets"
    """`targets`: the factorizable layers' weights; `model`: all parameters, tied ones once."""


class RankRatioBudget(Config):
    """The papers' budget: rank int(value · min(out, in)) in every target layer."""

    type: Literal["rank_ratio"] = "rank_ratio"
    value: float = Field(gt=0, le=1)


class ParamsBudget(Config):
    """Keep at most this many parameters in scope."""

    type: Literal["params"] = "params"
    value: int = Field(gt=0)
    scope: Scope = "targets"


class BytesBudget(Config):
    """Keep at most this many bytes of weights in scope, as the artifact stores them (float32)."""

    type: Literal["bytes"] = "bytes"
    value: int = Field(gt=0)
    scope: Scope = "targets"


class MaxDropBudget(Config):
    """The smallest model that a metric loses at most so much by, before any fine-tuning.

    Found by bisection over keep ratios of the targets; every candidate is factorized and measured
    on the validation split.
    """

    type: Literal["max_drop"] = "max_drop"
    metric: str | None = Field(default=None, min_length=1, max_length=64)
    """One of the task's; None takes its headline metric."""
    abs: float = Field(ge=0)
    """By how much the metric may be worse than the dense model's, in its own unit (0.01 is one
    point of accuracy), whichever way it points."""
    tolerance: float = Field(default=0.01, ge=0.001, le=0.5)
    """The search ends when the smallest keep ratio is known this closely,"""
    evaluations: int = Field(default=10, ge=1, le=100)
    """or after so many candidates."""


Budget = Annotated[
    KeepRatioBudget | RankRatioBudget | ParamsBudget | BytesBudget | MaxDropBudget,
    Field(discriminator="type"),
]


class AllocationConfig(Config):
    """What every allocation keeps to."""

    min_rank: int = Field(default=1, ge=1)
    """No factorized layer goes below this rank; one whose factors would then be no smaller than it
    stays dense."""
    rank_multiple: int = Field(default=1, ge=1, le=256)
    """Ranks are multiples of this (8 or 16 suit tensor cores)."""
    keep_dense: Array[str] = ()
    """Target layers, by module name, that are never factorized."""


class UniformAllocation(AllocationConfig):
    """The same ratio in every layer."""

    type: Literal["uniform"] = "uniform"


class SpectrumAllocation(AllocationConfig):
    """Ranks where they lower the predicted loss most per parameter (concave-hull greedy)."""

    type: Literal["spectrum"] = "spectrum"


class MeasuredAllocation(AllocationConfig):
    """Ranks by what the validation split's loss says."""

    rows: int | None = Field(default=256, ge=2)
    """The first rows of the validation split; None takes all."""


class SensitivityAllocation(MeasuredAllocation):
    """Ranks where they lower the loss that was measured with each layer truncated alone.

    Hsu et al., ICLR 2022, remove a layer's rank-ones in groups.
    """

    type: Literal["sensitivity"] = "sensitivity"
    groups: int = Field(default=10, ge=2, le=100)
    """Of about equal rank, in the method's own order."""
    measure: Literal["cumulative", "single"] = "cumulative"
    """`cumulative`: this group and all behind it are dropped; `single`: this group alone, as in the
    paper, and a truncation costs the sum of the groups that it drops."""


class BayesianAllocation(MeasuredAllocation):
    """A keep ratio for each type of layer, searched for by the loss under the budget.

    Ji et al., Feature-based low-rank compression of large language models via Bayesian optimization
    (Bolaco), 2024.
    """

    type: Literal["bayesian"] = "bayesian"
    trials: int = Field(default=50, ge=1, le=1000)


Allocation = Annotated[
    UniformAllocation | SpectrumAllocation | SensitivityAllocation | BayesianAllocation,
    Field(discriminator="type"),
]
