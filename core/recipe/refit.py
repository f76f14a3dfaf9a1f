"""Whether factors are fitted anew to the inputs that earlier factors have shifted."""

from typing import Annotated, Literal

from pydantic import Field

from core.recipe.config import Config

Granularity = Literal["block", "layer"]


class NoRefit(Config):
    """Every layer is factorized on the dense model's own inputs."""

    type: Literal["none"] = "none"


class SequentialRefit(Config):
    """Blocks from first to last, each layer on the inputs that the layers before it now give."""

    type: Literal["sequential"] = "sequential"
    rows: int | None = Field(default=1024, ge=1)
    """The first rows of the train split's order; None takes all."""
    batch_size: int = Field(default=32, ge=1, le=4096)
    damping: float = Field(default=1.0, gt=0, le=1000)
    """λ = damping · in / tokens, relative to each feature's energy, holds the fit to the weights as
    they were; it fades as tokens outnumber features."""
    granularity: Granularity = "layer"
    """`layer`: a block's layers that share an input are solved in turn, behind those before them;
    `block`: all from one look."""


Refit = Annotated[NoRefit | SequentialRefit, Field(discriminator="type")]
