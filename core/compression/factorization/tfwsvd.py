"""TFWSVD: low-rank factors under element-wise Fisher weights.

Hua, Hsu, Wang, Lou, Shen & Jin, Numerical optimizations for weighted low-rank estimation on
language models, EMNLP 2022. With F = Σ_examples (∂loss/∂W)², normalized and floored,

    min over P [out, k], Q [k, in] of   J = Σ_ij F_ij (W − P Q)²_ij

has no closed form: every rank is a problem of its own, and factors are not nested. `truncate`
solves it from the closed form of lowest J (`tfwsvd_starts`) by the optimizer that the config names
(`tfwsvd_optimizers`), and never returns anything worse than that start.

Spectrum: the squared singular values are those of the best closed form in its own norm. The
predicted increase is that form's J, exact at each rank, in units of the loss,

    J_k · mean F / (2 N)   ≥   what `truncate(k)` will cost,

an upper bound that needs no solve: allocation reads it for all ranks at once.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from core.compression.factorization.decomposition import Decomposition, as_array, balance
from core.compression.factorization.tfwsvd_objective import Objective, Pair, normalized
from core.compression.factorization.tfwsvd_optimizers import Starts, descend
from core.compression.factorization.tfwsvd_starts import (
    best_form,
    best_start,
    closed_forms,
    curve,
    cut,
)
from core.compression.layer_statistics import LayerStatistics
from core.compression.low_rank import Factors
from core.recipe.methods import TfwsvdConfig
from core.recipe.statistics import Statistic


@dataclass(frozen=True)
class Elementwise(Decomposition):
    """`outer` and `inner` are the best closed form's; a rank's own factors are solved for."""

    objective: Objective
    forms: tuple[Decomposition, ...]
    config: TfwsvdConfig

    def truncate(self, rank: int) -> Factors:
        """The factors of lowest J that the optimizer found, never above the best closed form's."""
        self.check_rank(rank)
        pair = descend(
            self.objective,
            self.starts(rank),
            self.config.optimizer,
            self.config.tolerance,
            self.config.max_rounds,
        )
        return balanced(pair, self.weight.dtype)

    def starts(self, rank: int) -> Starts:
        _, paper, _, plain = self.forms
        best = best_start(self.objective, self.forms, rank)
        return Starts(best, cut(plain, rank), cut(paper, rank))


def decompose(
    weight: Float[Tensor, "out in"], statistics: LayerStatistics, config: TfwsvdConfig
) -> Elementwise:
    fisher = statistics[Statistic.FISHER].double()
    objective = Objective(weight.double(), normalized(fisher, config.fisher_floor))
    forms = closed_forms(objective)
    form = best_form(objective, forms)
    unit = float(fisher.mean()) / (2 * statistics.examples)
    increase = as_array(curve(objective, form) * unit)
    return Elementwise(
        weight=weight,
        outer=form.outer,
        inner=form.inner,
        spectrum=replace(form.spectrum, predicted_increase=increase),
        squared_norm=objective.squared_norm,
        objective=objective,
        forms=forms,
        config=config,
    )


def balanced(pair: Pair, dtype: torch.dtype) -> Factors:
    """Columns and their rows scaled to equal norms."""
    scale = balance(pair.p.norm(dim=0), pair.q.norm(dim=1))
    outer, inner = pair.p * scale, pair.q / scale[:, None]
    return Factors(outer.to(dtype).contiguous(), inner.to(dtype).contiguous())
