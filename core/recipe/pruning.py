"""How weights are pruned while a model trains: the first part of `lpaf`."""

from typing import Literal, Self

from pydantic import Field, model_validator

from core.recipe.config import refusal
from core.recipe.training import TrainingConfig

SMOOTHING = 0.97


class Pruning(TrainingConfig):
    """Unstructured pruning of the target layers during fine-tuning on the task."""

    scores: Literal["sensitivity", "movement", "magnitude"] = "sensitivity"
    """What a weight stays by. First-order are `sensitivity`: |w ∂L/∂w|, by how much the loss would
    change if it went, averaged over steps; and `movement`: scores S that fall where a step moves
    the weight towards zero. `magnitude`: its size, as the control."""
    smoothing: float = Field(default=SMOOTHING, ge=0, lt=1)
    """β: sensitivity is averaged over steps, exponentially."""
    keep_ratio: float | None = Field(default=None, gt=0, lt=1)
    """The share of each matrix that is left at the end. Null: as many weights as the factors of the
    budget's plan would have, before anything is measured."""
    selection: Literal["matrix", "global"] = "matrix"
    """Whether the best are taken of each matrix, or of all matrices together."""
    start: Literal["pretrained", "dense"] = "pretrained"
    """`pretrained`: the model as it came, with a head of this task; `dense`: the adapted model."""
    initial_warmup: float = Field(default=0.1, ge=0, lt=1)
    """The share of all steps before the first weight goes,"""
    final_warmup: float = Field(default=0.3, gt=0, le=1)
    """and the share of them at the end, with as few weights as shall be left."""
    score_learning_rate: float | None = Field(default=None, gt=0, le=1)
    """Of movement. Null: S sums up the plain first-order steps, weighted by the learning rate. A
    number: Adam moves S at this peak rate (Sanh et al. take 0.01)."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.initial_warmup + self.final_warmup > 1:
            raise refusal("/final_warmup", "must leave initial_warmup its steps: their sum is 1")
        if self.scores != "movement" and self.score_learning_rate is not None:
            raise refusal("/score_learning_rate", f"has no use: {self.scores} is not trained")
        if self.scores != "sensitivity" and self.smoothing != SMOOTHING:
            raise refusal("/smoothing", f"has no use: {self.scores} is not averaged")
        return self
