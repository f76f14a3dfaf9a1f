"""Closed forms from which the element-wise problem is started, and what each rank of them costs.

Plain SVD, and FWSVD with its weights on the inputs, on the outputs and on both sides (the last is
exact where F is separable), all of the same normalized and floored F. At each rank the one with the
lowest J is taken: no result is worse than any of them.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from core.compression.factorization import fwsvd, svd
from core.compression.factorization.decomposition import Decomposition
from core.compression.factorization.tfwsvd_objective import Objective, Pair
from core.compression.layer_statistics import LayerStatistics
from core.recipe.methods import FwsvdConfig, SvdConfig
from core.recipe.statistics import Statistic

PROBES = (8, 4, 2)
"""Closed forms are compared at these parts of the full rank."""


def closed_forms(objective: Objective) -> tuple[Decomposition, ...]:
    """FWSVD on both sides, on the inputs (the paper's), on the outputs; plain SVD last."""
    w, f = objective.weight, objective.fisher
    sums = {Statistic.FISHER_IN: f.sum(0), Statistic.FISHER_OUT: f.sum(1)}
    statistics = LayerStatistics(sums, 1, 1)
    configs = (FwsvdConfig(sides="both"), FwsvdConfig(), FwsvdConfig(sides="output"))
    weighted = (fwsvd.decompose(w, statistics, config) for config in configs)
    return *weighted, svd.decompose(w, None, SvdConfig())


def cut(form: Decomposition, rank: int) -> Pair:
    factors = form.cut(rank)
    return Pair(factors.outer, factors.inner)


def best_start(objective: Objective, forms: tuple[Decomposition, ...], rank: int) -> Pair:
    """The closed form of lowest J at this rank."""
    return min((cut(form, rank) for form in forms), key=objective)


def best_form(objective: Objective, forms: tuple[Decomposition, ...]) -> Decomposition:
    """The closed form whose J is lowest over a few ranks: one curve stands for the layer."""
    ranks = [max(1, forms[0].full_rank // probe) for probe in PROBES]
    return min(forms, key=lambda form: sum(objective(cut(form, rank)) for rank in ranks))


def curve(objective: Objective, form: Decomposition) -> Float[Tensor, "r_plus_1"]:
    """J of the form cut at k = 0..r, one rank after the other, never rising: where one rank more
    costs more, it need not be used."""
    costs = torch.tensor(list(errors(objective, form)), dtype=torch.float64)
    return costs.cummin(0).values


def errors(objective: Objective, form: Decomposition) -> Iterator[float]:
    error = objective.weight.clone()
    yield objective.squared_norm(error)
    factors = form.cut(form.full_rank)
    for column, row in zip(factors.outer.T, factors.inner, strict=True):
        error.addr_(column, row, alpha=-1)
        yield objective.squared_norm(error)
