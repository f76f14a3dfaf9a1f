"""A run's report: what was asked, decided, measured and used. The content of report.json."""

from pathlib import PurePath
from typing import Any

from pydantic import BaseModel, ConfigDict

from core.planning.plan import Plan
from core.recipe import Recipe
from core.recipe.events import LayerReport, MetricMeasured
from core.recipe.sources import PathModel
from core.reporting.result import Result


class Report(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: Recipe
    recipe_hash: str
    plan: Plan
    layers: tuple[LayerReport, ...]
    result: Result
    provenance: dict[str, Any]

    @property
    def title(self) -> str:
        """The recipe's name, or that of the model's folder."""
        return " ".join(self.recipe.name.split()) or self.source_name

    @property
    def source_name(self) -> str:
        model = self.recipe.model
        return PurePath(model.path).name if isinstance(model, PathModel) else model.id

    @property
    def budget(self) -> str:
        """keep_ratio (value 0.3, scope targets)"""
        chosen = self.recipe.budget.model_dump(exclude={"type"})
        return f"{self.recipe.budget.type} ({', '.join(f'{k} {v}' for k, v in chosen.items())})"

    @property
    def spread(self) -> str:
        """Where the layers' ranks are from."""
        if self.recipe.method.finds_ranks:
            return "ranks found in training"
        return f"{self.recipe.allocation.type} allocation"

    @property
    def facts(self) -> dict[str, Any]:
        return {
            "method": f"{self.recipe.method.title}. {self.recipe.method.citation}",
            "budget": f"{self.budget}, {self.spread}",
            "fine_tuning": self.recipe.finetune.type,
            "seed": self.recipe.seed,
            "recipe_hash": self.recipe_hash,
            **self.provenance,
        }

    @property
    def headline(self) -> tuple[MetricMeasured, ...]:
        """The first metric in every phase; the last one is of the model in the artifact."""
        return self.result.measured(self.result.metric_names[0])

    @property
    def factorized_layers(self) -> tuple[LayerReport, ...]:
        return tuple(layer for layer in self.layers if layer.rank is not None)

    @property
    def dense_layers(self) -> tuple[LayerReport, ...]:
        return tuple(layer for layer in self.layers if layer.rank is None)
