"""Fisher-weighted singular value decomposition (FWSVD).

Hsu, Hua, Chang, Lou, Shen & Jin, Language model compression with weighted low-rank factorization,
ICLR 2022. In the paper's layout W is [in, out]; row i, an input feature, is weighted by the Fisher
information summed over outputs, ``Î = diag √Σ_out F``, and ``Î W = U S Vᵀ`` is truncated, its
factors being ``Î⁻¹ U_k S_k`` and ``V_kᵀ``. In this project's layout, [out, in], that minimizes

    ‖(W − Ŵ) D‖_F,   D = diag √fisher_in,

whose solution is the projection ``Ŵ = U_k U_kᵀ W`` on the left singular vectors of W D: the paper's
own product wherever D is invertible, and nothing is inverted here. The variants:

    output:  ‖D′ (W − Ŵ)‖_F,  D′ = diag √fisher_out:   Ŵ = W V_k V_kᵀ,  D′ W = U S Vᵀ
    both:    ‖D′ (W − Ŵ) D‖_F:   Ŵ = (W D V_k S_k⁻¹)(U_kᵀ D′ W),   D′ W D = U S Vᵀ

`both` is exact for a separable Fisher, F = fisher_out · fisher_inᵀ / ΣF. Then

    predicted increase = Σ_ij F_ij E_ij² / (2N) = ‖D′ E D‖² / (2 N ΣF).

One side alone leaves the other's weight at its mean: F_ij = fisher_in_j / out gives
‖E D‖² / (2 N out), and F_ij = fisher_out_i / in gives ‖D′ E‖² / (2 N in).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from core.compression.factorization.decomposition import Decomposition, decomposition, nested
from core.compression.layer_statistics import LayerStatistics
from core.compression.linalg import inverse_of_kept, tail_sums
from core.recipe.methods import FwsvdConfig
from core.recipe.statistics import Statistic


@dataclass(frozen=True)
class Weighting:
    """D′ and D as columns and rows that broadcast over [out, in], and the unit of their energy."""

    outputs: Float[Tensor, "out_or_1 1"]
    inputs: Float[Tensor, "1 in_or_1"]
    unit: float
    """Predicted increase of the mean example loss per ‖D′ E D‖²."""

    def __call__(self, matrix: Float[Tensor, "out in"]) -> Float[Tensor, "out in"]:
        return self.outputs * matrix * self.inputs

    def squared_norm(self, error: Float[Tensor, "out in"]) -> float:
        """‖D′ E D‖²."""
        return float(self(error).square().sum())


def decompose(
    weight: Float[Tensor, "out in"], statistics: LayerStatistics, config: FwsvdConfig
) -> Decomposition:
    w = weight.double()
    weighting = weighting_of(w, statistics, config)
    u, s, vt = torch.linalg.svd(weighting(w), full_matrices=False)
    if config.sides == "input":
        outer, inner = u, u.T @ w
    elif config.sides == "output":
        outer, inner = w @ vt.T, vt
    else:
        outer = (w * weighting.inputs) @ vt.T * inverse_of_kept(s, max(w.shape))
        inner = u.T @ (weighting.outputs * w)
    increase = tail_sums(s.square()) * weighting.unit
    cut = nested(outer, inner)
    return decomposition(weight, cut, s.square(), increase, weighting.squared_norm)


def weighting_of(
    w: Float[Tensor, "out in"], statistics: LayerStatistics, config: FwsvdConfig
) -> Weighting:
    (out_features, in_features), ones = w.shape, w.new_ones(1)
    if config.sides == "input":
        fisher_in, fisher_out, total = statistics[Statistic.FISHER_IN], ones, float(out_features)
    elif config.sides == "output":
        fisher_in, fisher_out, total = ones, statistics[Statistic.FISHER_OUT], float(in_features)
    else:
        fisher_in, fisher_out = statistics[Statistic.FISHER_IN], statistics[Statistic.FISHER_OUT]
        total = float(fisher_in.sum())
    unit = 1 / (2 * statistics.examples * total) if total else 0.0
    return Weighting(fisher_out.double().sqrt()[:, None], fisher_in.double().sqrt()[None], unit)
