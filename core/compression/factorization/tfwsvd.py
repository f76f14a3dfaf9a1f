"""TFWSVD: low-rank factors under element-wise Fisher weights.

Hua, Hsu, Wang, Lou, Shen & Jin, Numerical optimizations for weighted low-rank estimation on
language models, EMNLP 2022. With F = Σ_examples (∂loss/∂W)², normalized and floored,

    min over P [out, k], Q [k, in] of   J = Σ_ij F_ij (W − P Q)²_ij

has no closed form: every rank is a problem of its own, and factors are not nested. `truncate`
solves it from the closed form of lowest J (`tfwsvd_starts`) by the optimizer that the config names
(`tfwsvd_optimizers`), and never returns anything worse than that start.

Spectrum: the squared singular values are those of the best closed form, scaled so that their sum is
J at P Q = 0. The predicted increase is that form's J, exact at each rank, in units of the loss,

    J_k · mean F / (2 N)   ≥   what `truncate(k)` will cost,

an upper bound that needs no solve: allocation reads it for all ranks at once.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from core.compression.factorization.decomposition import Decomposition, as_array
from core.compression.factorization.tfwsvd_objective import Objective, normalized
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
from core.planning.plan import Spectrum
from core.recipe.methods import TfwsvdConfig
from core.recipe.statistics import Statistic


@dataclass(frozen=True)
class Problem:
    """One layer's objective, and the closed forms that are its starts."""

    objective: Objective
    forms: tuple[Decomposition, ...]
    config: TfwsvdConfig

    @classmethod
    def of(
        cls, weight: Float[Tensor, "out in"], statistics: LayerStatistics, config: TfwsvdConfig
    ) -> "Problem":
        fisher = statistics[Statistic.FISHER].double()
        objective = Objective(weight.double(), normalized(fisher, config.fisher_floor))
        return cls(objective, closed_forms(objective), config)

    def solve(self, rank: int) -> Factors:
        """The factors of lowest J that the optimizer found, never above the best closed form's."""
        config = self.config
        pair = descend(
            self.objective,
            self.starts(rank),
            config.optimizer,
            config.tolerance,
            config.max_rounds,
        )
        return Factors(pair.p, pair.q)

    def starts(self, rank: int) -> Starts:
        _, paper, _, plain = self.forms
        best = best_start(self.objective, self.forms, rank)
        return Starts(best, cut(plain, rank), cut(paper, rank))


def decompose(
    weight: Float[Tensor, "out in"], statistics: LayerStatistics, config: TfwsvdConfig
) -> Decomposition:
    layer = Problem.of(weight, statistics, config)
    form = best_form(layer.objective, layer.forms)
    unit = float(statistics[Statistic.FISHER].double().mean()) / (2 * statistics.examples)
    increase = as_array(curve(layer.objective, form) * unit)
    energy = form.spectrum.squared_singular_values
    whole = layer.objective.squared_norm(layer.objective.weight)
    spectrum = Spectrum(energy * (whole / (energy.sum() or 1.0)), increase)
    return Decomposition(weight, layer.solve, spectrum, layer.objective.squared_norm)
