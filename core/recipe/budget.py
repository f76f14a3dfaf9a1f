"""How small the result must be, and how the ranks are spread over the layers."""

from typing import Annotated, Literal

from pydantic import Field

from core.recipe.config import Config

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


Budget = Annotated[KeepRatioBudget | RankRatioBudget | ParamsBudget, Field(discriminator="type")]


class UniformAllocation(Config):
    """The same ratio in every layer."""

    type: Literal["uniform"] = "uniform"


class SpectrumAllocation(Config):
    """Ranks where they lower the predicted loss most per parameter (concave-hull greedy)."""

    type: Literal["spectrum"] = "spectrum"
    min_rank: int = Field(default=1, ge=1)
    """No factorized layer goes below this rank."""
    rank_multiple: int = Field(default=1, ge=1, le=256)
    """Ranks are multiples of this (8 or 16 suit tensor cores)."""
    keep_dense: tuple[str, ...] = ()
    """Target layers, by module name, that are never factorized."""


Allocation = Annotated[UniformAllocation | SpectrumAllocation, Field(discriminator="type")]
