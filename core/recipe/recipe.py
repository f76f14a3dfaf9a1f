"""The Recipe: request fragment, JSON column and pipeline argument in one type."""

import hashlib
import json
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from core.recipe.budget import (
    Allocation,
    Budget,
    RankRatioBudget,
    SpectrumAllocation,
    UniformAllocation,
)
from core.recipe.config import Config, refusal
from core.recipe.methods import KfacConfig, Method
from core.recipe.named_tasks import TaskField
from core.recipe.sources import ModelSource
from core.recipe.statistics import Statistic, two_sided
from core.recipe.training import (
    Adapt,
    CalibrationConfig,
    EvaluationConfig,
    Finetune,
    NoFinetune,
    Seed,
    TrainingConfig,
)

Export = Literal["safetensors", "dense"]
LabelKey = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]
LabelValue = Annotated[str, Field(max_length=256)]

NOT_HASHED = {"name", "labels", "limits"}


class Limits(Config):
    """Bounds on what a job may take; they do not change its result."""

    max_runtime_s: int = Field(default=14_400, ge=1, le=30 * 86_400)


def default_allocation(chosen: dict[str, Any]) -> UniformAllocation | SpectrumAllocation:
    """The allocation of a recipe that names none, from the fields validated before it."""
    method, budget = chosen.get("method"), chosen.get("budget")
    ranked = isinstance(budget, RankRatioBudget)
    return (
        SpectrumAllocation()
        if isinstance(method, KfacConfig) and not ranked
        else UniformAllocation()
    )


class Recipe(Config):
    """What a run should do. Every field that changes the result is in its hash."""

    name: str = Field(default="", max_length=200)
    labels: dict[LabelKey, LabelValue] = Field(default_factory=dict, max_length=32)
    limits: Limits = Limits()

    model: ModelSource
    task: TaskField
    adapt: Adapt = "auto"
    """Fine-tune the dense model first: `auto` does so when its head is new."""
    adaptation: TrainingConfig = TrainingConfig()
    calibration: CalibrationConfig = CalibrationConfig()
    method: Method = KfacConfig()
    embeddings: bool = False
    """The token embedding is a target too, and with it every head that is tied to it."""
    budget: Budget
    allocation: Allocation = Field(default_factory=lambda chosen: default_allocation(chosen))
    """`spectrum` for kfac, `uniform` elsewhere and for a rank_ratio, when not named."""
    finetune: Finetune = NoFinetune()
    evaluation: EvaluationConfig = EvaluationConfig()
    exports: tuple[Export, ...] = Field(default=("safetensors",), min_length=1, max_length=8)
    seed: Seed = 17

    @model_validator(mode="after")
    def _refuse_unused_fields(self) -> Self:
        if self.adapt == "never" and self.adaptation != TrainingConfig():
            raise refusal("/adaptation", "has no use when adapt is 'never'")
        if not self.needs_statistics and self.calibration != CalibrationConfig():
            raise refusal("/calibration", f"has no use for {self.method.type} with uniform ranks")
        if self.budget.type == "rank_ratio" and self.allocation.type != "uniform":
            raise refusal("/allocation", "must be 'uniform': a rank_ratio fixes every rank")
        if len(set(self.exports)) < len(self.exports):
            raise refusal("/exports", "names a format twice")
        return self

    @property
    def needs_statistics(self) -> bool:
        return bool(self.required_statistics(1, 1))

    def required_statistics(self, out_features: int, in_features: int) -> frozenset[Statistic]:
        """The method's own statistics, and the two-sided metric where ranks are spread by it."""
        needed = self.method.required_statistics(out_features, in_features)
        if self.allocation.type == "spectrum" and not self.method.loss_unit:
            needed |= two_sided(out_features, in_features)
        return needed

    @property
    def hash(self) -> str:
        """SHA-256 over everything that changes the result (not name, labels, limits)."""
        return fingerprint(self.model_dump(mode="json", exclude=NOT_HASHED))


def fingerprint(content: Any) -> str:
    """SHA-256 of canonical JSON: the one way that inputs are named in this project."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
