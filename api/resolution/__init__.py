"""What a recipe names, found and checked before any worker hears of it.

Refusals are core.errors with the recipe's pointer; nothing is written.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from api.resolution.datasets import DatasetInput, resolve_dataset, train_rows
from api.resolution.models import ModelInput, resolve_model
from core.errors import RecipeError
from core.planning.families import target_layers
from core.planning.left import left_modules
from core.planning.plan import Plan, TargetLayer
from core.planning.planner import make_plan
from core.planning.positions import longest_text, refuse_longer
from core.planning.resources import Resources, estimate_resources
from core.recipe import Recipe
from core.settings import Settings
from core.storage.storage import Storage


@dataclass(frozen=True)
class Resolved:
    """A recipe's inputs, and the plan that shapes alone allow."""

    recipe: Recipe
    """With every hub revision pinned to a commit: this is what the job keeps and runs."""
    model: ModelInput
    layers: tuple[TargetLayer, ...]
    dataset: DatasetInput
    plan: Plan

    def inputs(self) -> dict[str, Any]:
        """As the job's row keeps them for its runner."""
        work = {"flops": self.resources.flops}
        return self.model.inputs() | self.dataset.inputs() | work

    @property
    def resources(self) -> Resources:
        """What a job of the plan that shapes allow will take."""
        rows = train_rows(self.recipe.task, self.dataset)
        return estimate_resources(self.plan, self.recipe, rows)


def resolve(
    recipe: Recipe, project_id: str, session: Session, settings: Settings, storage: Storage
) -> Resolved:
    """
    Raises:
        CompressionError: a ModelError, DataError, RecipeError or BudgetError, for what no run of
            this recipe could use.
    """
    _refuse_unserved(recipe.queue, settings)
    dataset = resolve_dataset(recipe.task, project_id, session, settings, storage)
    model = resolve_model(recipe.model, project_id, session, settings, storage)
    pinned = recipe.model_copy(
        update={
            "model": model.source,
            "task": recipe.task.model_copy(update={"dataset": dataset.source}),
        }
    )
    refuse_longer(recipe.task.max_length, longest_text(model.checkpoint.config))
    layers = target_layers(model.checkpoint, recipe.task, embeddings=recipe.embeddings)
    plan = make_plan(layers, model.checkpoint.params, pinned, None)
    plan = plan.model_copy(update={"left": left_modules(model.checkpoint, layers)})
    return Resolved(pinned, model, layers, dataset, plan)


def _refuse_unserved(queue: str, settings: Settings) -> None:
    if queue not in settings.offered_queues:
        raise RecipeError(
            f"no worker is known to serve the queue {queue!r}",
            hint=f"one of: {', '.join(settings.offered_queues)}",
            pointer="/queue",
        )
