"""Sparsity-aware SVD: the second part of low-rank prune-and-factorize (LPAF).

Ren & Zhu, Low-rank prune-and-factorize for language model compression, 2023. The abstract is what
was to be had; this is a reconstruction. Of a pruned W the rows and columns that hold nothing are
dropped; in what remains a row counts as much as weights are left in it, and so does a column:

    min over rank k of ‖D′ (W − Ŵ) D‖_F,   D′ = diag √r,  D = diag √c,
    r_i = Σ_j m_ij w_ij,  c_j = Σ_i m_ij w_ij,   m_ij = 1 where W_ij is left

with w_ij = 1 (`counts`), |S_ij| of the pruning scores (`scores`) or, summed over all of a row or
column, the Fisher information (`fisher`). With D′ W D = U Σ Vᵀ, nothing inverted but Σ,

    outer = W D V Σ⁻¹,   inner = Uᵀ D′ W,   both with zeros where W is empty.

A rank above that of D′ W D has units to spare: their outer columns are zero and their inner rows
are orthonormal to the others, so that the product stays and a training can still use them.

The truncation has no loss unit of its own. It leaves E_k = Σ_{i>k} outer_i innerᵢᵀ, which in the
two-sided metric (see `loss_unit`) is Σ_{i,j>k} (outerᵀ G outer)_ij (inner A innerᵀ)_ij, where for
out ≤ in inner A innerᵀ = Uᵀ D′ C D′ U, and for out > in outerᵀ G outer = Σ⁻¹ Vᵀ D B D V Σ⁻¹.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from core.compression.factorization.decomposition import Decomposition, decomposition
from core.compression.factorization.loss_unit import kronecker_unit, trailing_block_sums
from core.compression.layer_statistics import LayerStatistics
from core.compression.linalg import inverse_of_kept
from core.compression.low_rank import Factors
from core.recipe.methods import LpafConfig
from core.recipe.statistics import Statistic


@dataclass(frozen=True)
class Solution:
    """U and V with zeros where W is empty, Σ descending, and the factors of full rank."""

    u: Float[Tensor, "out r"]
    sigma: Float[Tensor, "r"]
    v: Float[Tensor, "in r"]
    outer: Float[Tensor, "out r"]
    inner: Float[Tensor, "r in"]
    duals: Float[Tensor, "in r"]
    """D V Σ⁻¹: outer = W duals."""


def decompose(
    weight: Float[Tensor, "out in"], statistics: LayerStatistics | None, config: LpafConfig
) -> Decomposition:
    w = weight.double()
    rows, columns = (
        sums.double().sqrt() for sums in sums_of_rows_and_columns(w, statistics, config)
    )
    found = solve(w, rows, columns)
    full_rank = min(w.shape)

    def cut(rank: int) -> Factors:
        kept = int((found.sigma > 0).sum())
        factors = Factors(found.outer[:, : min(rank, kept)], found.inner[: min(rank, kept)])
        return factors if rank <= kept else with_spare_units(factors, rank)

    def squared_norm(error: Tensor) -> float:
        return float((rows[:, None] * error * columns).square().sum())

    increase = predicted_increase(found, rows, statistics)
    return decomposition(
        weight,
        cut,
        padded(found.sigma.square(), full_rank),
        None if increase is None else padded(increase, full_rank + 1),
        squared_norm,
    )


def sums_of_rows_and_columns(
    w: Float[Tensor, "out in"], statistics: LayerStatistics | None, config: LpafConfig
) -> tuple[Float[Tensor, "out"], Float[Tensor, "in"]]:
    """r and c. A layer that was not pruned has no scores: its weights count one each."""
    if config.weights == "fisher":
        assert statistics is not None, "the config asks for them"
        return statistics[Statistic.FISHER_OUT], statistics[Statistic.FISHER_IN]
    scores = statistics.scores if statistics and config.weights == "scores" else None
    return sums_of_counts(w) if scores is None else (scores.rows, scores.columns)


def sums_of_counts(
    w: Float[Tensor, "out in"],
) -> tuple[Float[Tensor, "out"], Float[Tensor, "in"]]:
    left = (w != 0).to(w.dtype)
    return left.sum(1), left.sum(0)


def solve(
    w: Float[Tensor, "out in"], rows: Float[Tensor, "out"], columns: Float[Tensor, "in"]
) -> Solution:
    """With what is no more than rounding in Σ set to zero."""
    left = w != 0
    alive_rows, alive_columns = left.any(1), left.any(0)
    weighted = (rows[:, None] * w * columns)[alive_rows][:, alive_columns]
    u_alive, sigma, vt_alive = torch.linalg.svd(weighted, full_matrices=False)
    u, v = w.new_zeros(len(w), len(sigma)), w.new_zeros(w.shape[1], len(sigma))
    u[alive_rows], v[alive_columns] = u_alive, vt_alive.T
    inverse = inverse_of_kept(sigma, max(w.shape))
    sigma = sigma.where(inverse > 0, 0.0)
    duals = columns[:, None] * v * inverse
    return Solution(u, sigma, v, w @ duals, (u.T * rows) @ w, duals)


def with_spare_units(factors: Factors, rank: int) -> Factors:
    """The same product, of more units than it needs."""
    kept, spare = factors.rank, rank - factors.rank
    basis, _ = torch.linalg.qr(factors.inner.T, mode="complete")
    inner = torch.cat([factors.inner, basis[:, kept : kept + spare].T])
    return Factors(F.pad(factors.outer, (0, spare)), inner)


def predicted_increase(
    found: Solution, rows: Float[Tensor, "out"], statistics: LayerStatistics | None
) -> Float[Tensor, "r_plus_1"] | None:
    """In the two-sided metric; None without its Grams."""
    if statistics is None:
        return None
    outer, inner, duals = found.outer, found.inner, found.duals
    smaller_out = len(outer) <= inner.shape[1]
    if statistics.diagonal:
        g = statistics[Statistic.OUTPUT_GRAD_GRAM].double()[:, None]
        first = outer.T @ (g * outer)
        second = (inner * statistics[Statistic.INPUT_GRAM].double()) @ inner.T
    elif smaller_out and statistics.has(Statistic.OUTPUT_GRAM, Statistic.OUTPUT_GRAD_GRAM):
        left = rows[:, None] * found.u
        first = outer.T @ statistics[Statistic.OUTPUT_GRAD_GRAM].double() @ outer
        second = left.T @ statistics[Statistic.OUTPUT_GRAM].double() @ left
    elif not smaller_out and statistics.has(Statistic.INPUT_GRAM, Statistic.INPUT_GRAD_GRAM):
        first = duals.T @ statistics[Statistic.INPUT_GRAD_GRAM].double() @ duals
        second = inner @ statistics[Statistic.INPUT_GRAM].double() @ inner.T
    else:
        return None
    return trailing_block_sums(first, second) * kronecker_unit(statistics)


def padded(values: Float[Tensor, "n"], length: int) -> Float[Tensor, "m"]:
    """With zeros behind: rows and columns of nothing have no energy."""
    return F.pad(values, (0, length - len(values)))
