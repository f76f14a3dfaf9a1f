"""How ranks are found while a model trains: `rankdyna`."""

from typing import Literal, Self

from pydantic import Field, model_validator

from core.recipe.config import refusal
from core.recipe.training import TrainingConfig


class DynamicRanks(TrainingConfig):
    """One round of fine-tuning, from full rank down to the budget."""

    importance: Literal["first_order", "group"] = "first_order"
    """What a unit of W = Σ s u vᵀ counts for. `first_order`: |s ∂L/∂s|, by how much the loss would
    change to first order if it went; `group`: |w ∂L/∂w| summed over s and all of u and v."""
    smoothing: float = Field(default=0.85, ge=0, lt=1)
    """β: importance is averaged over steps, exponentially."""
    uncertainty: bool = False
    """Multiply by how much importance varies from step to step (AdaLoRA)."""
    start: Literal["pretrained", "dense"] = "pretrained"
    """`pretrained`: the model as it came, with a head of this task; `dense`: the adapted model."""
    initial_warmup: float = Field(default=0.1, ge=0, lt=1)
    """The share of all steps before the first unit goes,"""
    final_warmup: float = Field(default=0.3, gt=0, le=1)
    """and the share of them at the end, with the ranks that are the result."""
    orthogonality: float = Field(default=0.0, ge=0, le=1000)
    """γ: weight of Σ ‖UᵀU − I‖² + ‖VᵀV − I‖² beside the loss."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.initial_warmup + self.final_warmup > 1:
            raise refusal("/final_warmup", "must leave initial_warmup its steps: their sum is 1")
        return self
