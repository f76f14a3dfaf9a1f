"""Principal components of a layer's outputs, with the bias that their mean asks for (Bolaco).

Ji et al., Adaptive feature-based low-rank compression of large language models via Bayesian
optimization, Findings of EMNLP 2024. U_k, the k leading eigenvectors of the covariance of the
outputs y = W x + b pooled over the calibration tokens, gives

    Ŵ = U_k (U_kᵀ W),     b̂ = (I − U_k U_kᵀ) E[y] + U_k U_kᵀ b,

the least mean ‖y − ŷ‖² of all rank-k layers. With E[y] = W x̄ + b and Ŵ = U_k U_kᵀ W

    b̂ = (I − U_k U_kᵀ) W x̄ + (I − U_k U_kᵀ) b + U_k U_kᵀ b = b + (W − Ŵ) x̄,

which holds for factors as rounded, too: the error W − Ŵ meets x − x̄ only. So this is `svd_llm`
about the mean, with (over T tokens, up to the factor T)

    out ≤ in:   C − T (W x̄)(W x̄)ᵀ   for C = Σ (y − b)(y − b)ᵀ,
    out > in:   A − T x̄ x̄ᵀ          for A = Σ x xᵀ.

Where both sides are too large for Grams, diag A − T x̄² stands for the latter.

A layer without a bias has nowhere to put (W − Ŵ) x̄: there C and A stay as they are. Their
truncations in the two-sided metric are those of `svd_llm`, with the centred C and A.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from core.compression.factorization.decomposition import Decomposition
from core.compression.factorization.diagonals import one_sided
from core.compression.factorization.svd_llm import from_input_gram, from_output_gram
from core.compression.layer_statistics import LayerStatistics
from core.recipe.methods import BolacoConfig
from core.recipe.statistics import Statistic


def decompose(
    weight: Float[Tensor, "out in"], statistics: LayerStatistics, config: BolacoConfig
) -> Decomposition:
    """About the mean where INPUT_SUM is among the statistics."""
    mean = mean_input(statistics)
    shift = weight.new_zeros(weight.shape[1]).double() if mean is None else mean
    if statistics.diagonal:
        a = centred(statistics, Statistic.INPUT_GRAM, shift)
        return one_sided(weight, a, statistics, mean)
    if weight.shape[0] <= weight.shape[1]:
        c = centred(statistics, Statistic.OUTPUT_GRAM, weight.double() @ shift)
        return from_output_gram(weight, c, statistics, mean)
    a = centred(statistics, Statistic.INPUT_GRAM, shift)
    return from_input_gram(weight, a, statistics, mean)


def mean_input(statistics: LayerStatistics) -> Float[Tensor, "in"] | None:
    """x̄."""
    if Statistic.INPUT_SUM not in statistics:
        return None
    mean: Tensor = statistics[Statistic.INPUT_SUM].double() / statistics.tokens
    return mean


def centred(
    statistics: LayerStatistics, gram: Statistic, mean: Float[Tensor, "n"]
) -> Float[Tensor, "..."]:
    """Σ v vᵀ − T v̄ v̄ᵀ, or its diagonal; zero where nothing but rounding is left, as of a single
    token."""
    whole = statistics[gram].double()
    if whole.dim() == 1:
        return (whole - statistics.tokens * mean.square()).clamp(min=0)
    about_mean: Tensor = whole - statistics.tokens * torch.outer(mean, mean)
    rounding = len(whole) * torch.finfo(whole.dtype).eps * float(whole.trace())
    return about_mean if float(about_mean.trace()) > rounding else torch.zeros_like(whole)
