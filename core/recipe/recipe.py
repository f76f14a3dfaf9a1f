"""The Recipe: request fragment, JSON column and pipeline argument in one type."""

import hashlib
import json
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from core.recipe.budget import (
    Allocation,
    Budget,
    KeepRatioBudget,
    MaxDropBudget,
    MeasuredAllocation,
    RankRatioBudget,
    SpectrumAllocation,
    UniformAllocation,
)
from core.recipe.config import Array, Config, refusal
from core.recipe.methods import METHOD_CONFIGS, KfacConfig, LpafConfig, Method, RankdynaConfig
from core.recipe.named_tasks import TaskField
from core.recipe.presets import PRESETS, PresetName, completed
from core.recipe.refit import NoRefit, Refit
from core.recipe.sources import ModelSource
from core.recipe.statistics import Statistic, two_sided
from core.recipe.training import (
    Adapt,
    CalibrationConfig,
    EvaluationConfig,
    Finetune,
    MixedRankFinetune,
    NoFinetune,
    Seed,
    TrainingConfig,
)

Export = Literal["safetensors", "dense"]
LabelKey = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]
LabelValue = Annotated[str, Field(max_length=256)]

REFITTED = "methods with one: " + ", ".join(
    name for name, config in METHOD_CONFIGS.items() if config.refits
)
NOT_HASHED: dict[str, Any] = {
    **dict.fromkeys(("name", "labels", "limits", "queue", "preset"), True),
    "calibration": {"also"},
}


class Limits(Config):
    """Bounds on what a job may take; they do not change its result."""

    max_runtime_s: int = Field(default=14_400, ge=1, le=30 * 86_400)
    max_memory_bytes: int | None = Field(default=None, ge=1 << 20, le=1 << 50)
    """What the run may hold in memory; the worker may allow less. None: as the worker allows."""
    max_disk_bytes: int | None = Field(default=None, ge=1 << 20, le=1 << 50)
    """What the run may put into its workspace: checkpoints, statistics, the artifact."""


def default_allocation(chosen: dict[str, Any]) -> UniformAllocation | SpectrumAllocation:
    """The allocation of a recipe that names none, from the fields validated before it."""
    method, budget = chosen.get("method"), chosen.get("budget")
    ranked = isinstance(budget, RankRatioBudget)
    return (
        SpectrumAllocation()
        if isinstance(method, KfacConfig) and not ranked
        else UniformAllocation()
    )


def default_finetune(chosen: dict[str, Any]) -> NoFinetune | MixedRankFinetune:
    """lpaf's third part, where something is factorized."""
    whole = isinstance(chosen.get("method"), LpafConfig) and not keeps_everything(
        chosen.get("budget")
    )
    return MixedRankFinetune() if whole else NoFinetune()


def keeps_everything(budget: object) -> bool:
    return isinstance(budget, KeepRatioBudget) and budget.value == 1


class Recipe(Config):
    """What a run should do. Every field that changes the result is in its hash."""

    name: str = Field(default="", max_length=200)
    labels: dict[LabelKey, LabelValue] = Field(default_factory=dict, max_length=32)
    limits: Limits = Limits()
    queue: str = Field(default="default", pattern=r"^[a-z][a-z0-9_-]{0,31}$")
    """Which workers may take the job: those that serve this queue, on devices of one kind."""

    preset: PresetName | None = None
    """Fields that the recipe does not give are those of this preset."""
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
    refit: Refit = NoRefit()
    """Fit the factors to the inputs that the layers before now give: svd_llm and kfac only."""
    finetune: Finetune = Field(default_factory=lambda chosen: default_finetune(chosen))
    """`mixed_rank` for lpaf, `none` elsewhere, when not named."""
    evaluation: EvaluationConfig = EvaluationConfig()
    exports: Array[Export] = Field(default=("safetensors",), min_length=1, max_length=8)
    seed: Seed = 17
    shared_seed: Seed | None = None
    """Of adaptation and statistics, which recipes that differ in `seed` can then share; null: the
    recipe's `seed`."""

    @model_validator(mode="before")
    @classmethod
    def _take_the_presets_fields(cls, content: Any) -> Any:
        return completed(content)

    @model_validator(mode="after")
    def _preset_is_of_this_method(self) -> Self:
        if self.preset is not None and self.method.type != PRESETS[self.preset].method:
            raise refusal(
                "/preset", f"is a recipe of method '{PRESETS[self.preset].method}': leave one out"
            )
        return self

    @model_validator(mode="after")
    def _refuse_unused_fields(self) -> Self:
        if self.adapt == "never" and self.adaptation != TrainingConfig():
            raise refusal("/adaptation", "has no use when adapt is 'never'")
        if not self.needs_statistics and self.calibration != CalibrationConfig():
            spread = f"{self.method.type} with {self.allocation.type} ranks"
            raise refusal("/calibration", f"has no use for {spread}")
        if self.embeddings and self.calibration.streamed:
            raise refusal(
                "/calibration/streamed", "must be false: a token embedding lies in no block"
            )
        if self.refit.type != "none" and not self.method.refits:
            raise refusal("/refit", f"must be 'none': {self.method.type} has no refit; {REFITTED}")
        if len(set(self.exports)) < len(self.exports):
            raise refusal("/exports", "names a format twice")
        return self

    @model_validator(mode="after")
    def _budget_and_allocation_fit(self) -> Self:
        budget, allocation = self.budget, self.allocation
        if isinstance(budget, RankRatioBudget):
            if allocation.type != "uniform":
                raise refusal("/allocation", "must be 'uniform': a rank_ratio fixes every rank")
            for limit in ("min_rank", "rank_multiple"):
                if getattr(allocation, limit) > 1:
                    raise refusal(f"/allocation/{limit}", "has no use: a rank_ratio fixes the rank")
        if isinstance(budget, MaxDropBudget):
            if allocation.type == "bayesian":
                raise refusal("/allocation", "bayesian searches under one size, not for the size")
            known = self.task.metric_names
            if budget.metric is not None and budget.metric not in known:
                raise refusal("/budget/metric", f"must be one of {', '.join(known)} for this task")
        return self

    @model_validator(mode="after")
    def _pruning_fits(self) -> Self:
        if not isinstance(self.method, LpafConfig):
            if isinstance(self.finetune, MixedRankFinetune):
                raise refusal("/finetune", "mixed_rank needs the pruned weights of method 'lpaf'")
            return self
        if self.task.type == "embedding":
            raise refusal("/method", "lpaf trains on labels, and embeddings have none")
        if self.embeddings:
            raise refusal("/embeddings", "must be false: lpaf prunes linear layers")
        if isinstance(self.budget, MaxDropBudget):
            raise refusal("/budget", "must be a size: lpaf prunes before a drop is measured")
        if keeps_everything(self.budget):
            if self.method.pruning.keep_ratio is None:
                raise refusal(
                    "/method/pruning/keep_ratio", "is needed where the budget keeps everything"
                )
            if isinstance(self.finetune, MixedRankFinetune):
                raise refusal("/finetune", "mixed_rank has no use: the budget keeps everything")
        return self

    @model_validator(mode="after")
    def _ranks_can_be_found(self) -> Self:
        if not isinstance(self.method, RankdynaConfig):
            return self
        if self.task.type == "embedding":
            raise refusal("/method", "rankdyna trains on labels, and embeddings have none")
        if self.embeddings:
            raise refusal("/embeddings", "must be false: rankdyna trains linear layers")
        if isinstance(self.budget, MaxDropBudget | RankRatioBudget):
            raise refusal("/budget", "must be a size: rankdyna finds the ranks for one")
        if self.allocation.type != "uniform":
            raise refusal("/allocation", "must be 'uniform': rankdyna spreads ranks in training")
        if self.allocation.rank_multiple > 1:
            raise refusal("/allocation/rank_multiple", "must be 1: ranks fall one by one")
        return self

    @property
    def dense_seed(self) -> int:
        """Of what is done to the dense model, before anything is compressed."""
        return self.seed if self.shared_seed is None else self.shared_seed

    @property
    def needs_statistics(self) -> bool:
        return bool(self.required_statistics(1, 1))

    @property
    def recovers(self) -> bool:
        """Whether the factorized model is trained."""
        return self.finetune.type != "none"

    @property
    def measures_plans(self) -> bool:
        """Whether the plan is known only when models were measured on the validation split."""
        measured = isinstance(self.allocation, MeasuredAllocation)
        return measured or isinstance(self.budget, MaxDropBudget)

    def required_statistics(self, out_features: int, in_features: int) -> frozenset[Statistic]:
        """The method's own, the two-sided metric where ranks are spread by it, F for φ."""
        needed = self.method.required_statistics(out_features, in_features)
        if self.allocation.type == "spectrum" and not self.method.loss_unit:
            needed |= two_sided(out_features, in_features)
        of_phi = {Statistic.FISHER} if self.calibration.phi else set()
        return needed | of_phi | self.calibration.also.of(out_features, in_features)

    @property
    def hash(self) -> str:
        """SHA-256 over everything that changes the result (not name, labels, limits, queue, preset,
        and what is taken for others)."""
        return fingerprint(self.model_dump(mode="json", exclude=NOT_HASHED))


def fingerprint(content: Any) -> str:
    """SHA-256 of canonical JSON: the one way that inputs are named in this project."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
