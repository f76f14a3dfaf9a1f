"""Searches over a tiny float64 model, and slow oracles of what they measure."""

import copy
from collections.abc import Generator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from torch import nn

from core.compression.allocation.journal import Journal
from core.compression.allocation.scorer import Scorer
from core.compression.allocation.search import Search
from core.compression.evaluation.predictions import predict
from core.compression.factorization.registry import decompose
from core.compression.models.layers import linear_layer, parameter_count
from core.compression.progress import Checkpointed
from core.compression.tasks.kind import Outputs
from core.planning.budgets import admissible_ranks
from core.planning.plan import Ranks, TargetLayer
from tests.compression.tasks.tiny_tasks import TinyTask, tiny_task
from tests.planning.problems import recipe_with

T = TypeVar("T")
ROWS = 40


def finished(work: Generator[Any, None, T]) -> T:
    return reported(work)[1]


def reported(work: Generator[Any, None, T]) -> tuple[list[Any], T]:
    """All reports, and what the work returns."""
    reports = []
    while True:
        try:
            reports.append(next(work))
        except StopIteration as done:
            return reports, done.value


def killed_after(checkpoints: int, work: Generator[Any, None, Any]) -> None:
    """Run until so many things stand on disk, and go no further."""
    while checkpoints:
        checkpoints -= isinstance(next(work), Checkpointed)
    work.close()


def counted_candidates(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one whenever a model with replaced layers is measured."""
    measured: list[int] = []
    own = Scorer.replaced
    monkeypatch.setattr(Scorer, "replaced", lambda *args: measured.append(1) or own(*args))
    return measured


def tiny_search(folder: Path, tiny: TinyTask | None = None, **recipe: Any) -> Search:
    """Decomposed by plain SVD; the journal lies in the folder."""
    tiny = tiny or decaying(tiny_task("text-classification", folder, ROWS))
    made = recipe_with(**{"method": {"type": "svd"}, "seed": 3, **recipe})
    layers = tuple(TargetLayer(n, *m.weight.shape) for n, m in tiny.targets.items())
    decompositions = {
        layer.name: decompose(layer.name, tiny.targets[layer.name].weight, None, made.method)
        for layer in layers
    }
    return Search(
        recipe=made,
        layers=layers,
        model_params=parameter_count(tiny.model),
        spectra={name: found.spectrum for name, found in decompositions.items()},
        model=tiny.model,
        decompositions={
            layer.name: decompositions[layer.name]
            for layer in layers
            if admissible_ranks(layer, made.allocation)
        },
        task=tiny.kind,
        validation=tiny.examples,
        journal=Journal(folder / "journal.json"),
        seed=5,
    )


def decaying(tiny: TinyTask) -> TinyTask:
    """With σ_i · 0.7^i, so that what is cut off matters less and less, as in trained weights."""
    with torch.no_grad():
        for layer in tiny.targets.values():
            u, s, vt = torch.linalg.svd(layer.weight, full_matrices=False)
            layer.weight.copy_((u * s * 0.7 ** torch.arange(len(s))) @ vt)
    return tiny


def truncated_weight(weight: torch.Tensor, kept: list[int]) -> torch.Tensor:
    """Σ over the rank-ones that are kept, by NumPy's SVD."""
    u, s, vt = np.linalg.svd(weight.detach().numpy(), full_matrices=False)
    return torch.from_numpy((u[:, kept] * s[kept]) @ vt[kept])


def with_weights(model: nn.Module, weights: dict[str, torch.Tensor]) -> nn.Module:
    """A copy whose dense layers have these weights."""
    changed = copy.deepcopy(model)
    with torch.no_grad():
        for name, weight in weights.items():
            linear_layer(changed, name).weight.copy_(weight)
    return changed


def of_ranks(model: nn.Module, ranks: Ranks) -> nn.Module:
    """A copy whose dense layers have the weights that these ranks leave."""
    return with_weights(
        model,
        {
            name: truncated_weight(linear_layer(model, name).weight, list(range(rank)))
            for name, rank in ranks.items()
            if rank is not None
        },
    )


def answers(search: Search, model: nn.Module, rows: int | None = None) -> Outputs:
    return finished(predict(model, search.task, search.validation.head(rows), 1))


def metric_values(search: Search, model: nn.Module, rows: int | None = None) -> dict[str, float]:
    dense = answers(search, search.model, rows)
    found = search.task.metrics(answers(search, model, rows), search.validation.head(rows), dense)
    return {metric.name: metric.value for metric in found}
