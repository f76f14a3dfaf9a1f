"""What two states of a model are compared by."""

from dataclasses import dataclass, field
from math import isfinite

from core.reporting.numbers import higher_is_better


@dataclass(frozen=True, order=True)
class Score:
    """How good a model is on the validation split: by its headline metric, then by its loss."""

    goodness: float
    """The metric's value, negated where lower is better."""
    negative_loss: float
    metric: str = field(default="accuracy", compare=False)

    @classmethod
    def of(cls, metric: str, value: float, loss: float) -> "Score":
        return cls(value if higher_is_better(metric) else -value, -loss, metric)

    @property
    def value(self) -> float:
        return self.goodness if higher_is_better(self.metric) else -self.goodness

    @property
    def loss(self) -> float:
        return -self.negative_loss

    @property
    def is_finite(self) -> bool:
        return isfinite(self.goodness) and isfinite(self.negative_loss)
