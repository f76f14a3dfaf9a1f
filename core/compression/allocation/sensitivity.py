"""The loss of every layer truncated alone, measured: what `sensitivity` spreads ranks by.

core.planning.allocation.sensitivity has the equations. With Ŵ_k the method's rank-k approximation
of W, a layer whose rank-ones b … c are removed is

    cumulative:  Ŵ_b    (all from b on are dropped; 0 at b = 0),
    single:      W − (Ŵ_c − Ŵ_b).

Every other layer stays dense. Layers · groups forward passes over the rows, less those that no
admissible rank asks for.
"""

from collections.abc import Generator

import torch
from jaxtyping import Float
from torch import Tensor

from core.compression.allocation.scorer import Scorer, layers_of_ranks
from core.compression.allocation.search import Search
from core.compression.factorization.decomposition import Decomposition
from core.compression.models.factorized import Layers, dense_layers, target_weight
from core.compression.progress import Checkpointed, Progress, standing_at
from core.planning.allocation.sensitivity import Increases, measured_groups
from core.planning.plan import TargetLayer
from core.recipe.budget import SensitivityAllocation


def measured_increases(
    search: Search, allocation: SensitivityAllocation
) -> Generator[Progress | Checkpointed, None, Increases]:
    """Of the mean loss over the dense model's, by layer, for each of its groups."""
    scorer, journal = search.scorer(allocation.rows), search.journal
    layers = [layer for layer in search.layers if measured_groups(layer, allocation)]
    for done, layer in enumerate(layers):
        if _name(layer) not in journal:
            work = _of_layer(search, scorer, allocation, layer)
            found = yield from standing_at(done, len(layers), "layer", work)
            journal.record(_name(layer), found)
            yield Checkpointed(len(journal))
        yield Progress(done + 1, len(layers), "layer", {"loss_increase": journal[_name(layer)][0]})
    return {layer.name: journal[_name(layer)] for layer in layers}


def _name(layer: TargetLayer) -> str:
    return f"layer {layer.name}"


def _of_layer(
    search: Search, scorer: Scorer, allocation: SensitivityAllocation, layer: TargetLayer
) -> Generator[Progress, None, list[float]]:
    dense = yield from scorer.dense()
    increases = []
    for group in measured_groups(layer, allocation):
        replacement = (
            truncated(search, layer.name, group[0])
            if allocation.measure == "cumulative"
            else without(search, layer.name, group)
        )
        measured = yield from scorer.replaced(replacement)
        increases.append(measured.loss - dense.loss)
    return increases


def truncated(search: Search, name: str, rank: int) -> Layers:
    if rank > 0:
        return layers_of_ranks(search.model, search.decompositions, {name: rank})
    return dense_layers(search.model, name, torch.zeros_like(target_weight(search.model, name)))


def without(search: Search, name: str, group: tuple[int, int]) -> Layers:
    weight, decomposition = target_weight(search.model, name), search.decompositions[name]
    first, second = (approximation(decomposition, rank) for rank in group)
    return dense_layers(search.model, name, weight - (second - first))


def approximation(decomposition: Decomposition, rank: int) -> Float[Tensor, "out in"]:
    """Ŵ_k, which is 0 for k = 0."""
    if rank == 0:
        return torch.zeros_like(decomposition.weight)
    return decomposition.truncate(rank).product()
