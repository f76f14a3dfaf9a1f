"""What a plan is searched over."""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from core.compression.allocation.journal import Journal
from core.compression.allocation.scorer import Measured, Scorer, layers_of_ranks
from core.compression.factorization.decomposition import Decomposition
from core.compression.models.factorized import Layers
from core.compression.progress import Progress
from core.compression.tasks.examples import Examples
from core.compression.tasks.kind import TaskKind
from core.planning.plan import Plan, Ranks, Spectrum, TargetLayer
from core.planning.planner import plan_of
from core.recipe import Recipe


@dataclass(frozen=True)
class Search:
    recipe: Recipe
    layers: tuple[TargetLayer, ...]
    model_params: int
    spectra: Mapping[str, Spectrum]
    model: nn.Module
    decompositions: Mapping[str, Decomposition]
    """Of every layer that may be factorized, computed once: any rank is cut from them."""
    task: TaskKind[Any]
    validation: Examples
    """Nothing else is looked at."""
    journal: Journal
    seed: int
    device: str = "cpu"
    refitted: Callable[[Ranks], Generator[Progress, None, Layers]] | None = None
    """What the recipe's refit puts in a model of these ranks, where it has one."""

    def scorer(self, rows: int | None) -> Scorer:
        """On the validation split's first rows; on all where None."""
        batch_size = self.recipe.evaluation.batch_size
        return Scorer(self.model, self.task, self.validation.head(rows), batch_size, self.device)

    def plan_of(self, ranks: Ranks) -> Plan:
        return plan_of(self.layers, self.model_params, ranks, self.spectra)

    def measured(self, scorer: Scorer, ranks: Ranks) -> Generator[Progress, None, Measured]:
        """As the recipe would factorize it."""
        if self.refitted is None:
            layers = layers_of_ranks(self.model, self.decompositions, ranks)
        else:
            layers = yield from self.refitted(ranks)
        return (yield from scorer.replaced(layers))
