"""The statistics that methods ask for, by name, for a layer ``y = W x + b`` with W [out, in]."""

from enum import StrEnum


class Statistic(StrEnum):
    """A sum over the calibration examples; δ is the gradient of one example's loss at y."""

    INPUT_GRAM = "input_gram"
    """A = Σ_tokens x xᵀ, [in, in]."""
    OUTPUT_GRAD_GRAM = "output_grad_gram"
    """G = Σ_tokens δ δᵀ, [out, out]."""
    OUTPUT_GRAM = "output_gram"
    """C = Σ_tokens (y−b)(y−b)ᵀ = W A Wᵀ, [out, out]."""
    INPUT_GRAD_GRAM = "input_grad_gram"
    """B = Σ_tokens (Wᵀδ)(Wᵀδ)ᵀ = Wᵀ G W, [in, in]."""
    FISHER = "fisher"
    """F = Σ_examples (∂loss/∂W)², element by element, [out, in]."""
    FISHER_IN = "fisher_in"
    """Σ_out F, [in]."""
    FISHER_OUT = "fisher_out"
    """Σ_in F, [out]."""
    INPUT_SUM = "input_sum"
    """Σ_tokens x, [in]."""
    INPUT_ABS_SUM = "input_abs_sum"
    """Σ_tokens |x|, [in]."""


def two_sided(out_features: int, in_features: int) -> frozenset[Statistic]:
    """The Grams of the smaller side, which is all that a two-sided factorization needs."""
    if out_features <= in_features:
        return frozenset({Statistic.OUTPUT_GRAD_GRAM, Statistic.OUTPUT_GRAM})
    return frozenset({Statistic.INPUT_GRAM, Statistic.INPUT_GRAD_GRAM})
