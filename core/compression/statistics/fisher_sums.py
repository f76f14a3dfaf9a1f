"""The diagonal Fisher information and its row and column sums, one batch at a time.

``F = Σ_b G_b²`` (elementwise) with ``G_b = Σ_t δ_bt x_btᵀ``, the gradient of example b's loss at W;
Hsu et al., ICLR 2022, use its sum over outputs. No G_b is needed for the sums:

    fisher_out[o] = Σ_b Σ_in  G_b[o, :]² = Σ_b δ_b[:, o]ᵀ (X_b X_bᵀ) δ_b[:, o]
    fisher_in[i]  = Σ_b Σ_out G_b[:, i]² = Σ_b x_b[:, i]ᵀ (δ_b δ_bᵀ) x_b[:, i]

costs 2 T² (out + in) multiplications per example and sum, against T · out · in to build G_b: for
both sums together the first is cheaper up to T = r*/2 tokens, r* = out · in / (out + in).

F itself [out, in] needs every G_b: one batched product for as many examples as fit a cache, and the
sums then come from it.

Padding counts nowhere because δ is made zero there; what x holds there then does not matter.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from core.compression.statistics.tokens import Tokens
from core.recipe.statistics import Statistic


def fisher_sums(
    x: Tokens, delta: Tokens, asked: frozenset[Statistic]
) -> dict[Statistic, Float[Tensor, "..."]]:
    """What is asked for (fisher [out, in], fisher_in [in], fisher_out [out]) of this batch."""
    whole = Statistic.FISHER in asked or gradients_are_cheaper(x, delta, len(asked))
    return (from_gradients if whole else from_similarities)(x, delta, asked)


def gradients_are_cheaper(x: Tokens, delta: Tokens, sums: int) -> bool:
    break_even_rank = x.features * delta.features / (x.features + delta.features)
    return x.length * sums > break_even_rank


def from_similarities(
    x: Tokens, delta: Tokens, asked: frozenset[Statistic]
) -> dict[Statistic, Float[Tensor, "_"]]:
    sums = {}
    if Statistic.FISHER_IN in asked:
        sums[Statistic.FISHER_IN] = quadratic_form(delta.zero_similarities, x.groups)
    if Statistic.FISHER_OUT in asked:
        sums[Statistic.FISHER_OUT] = quadratic_form(x.similarities, delta.zero_groups)
    return sums


def quadratic_form(
    similarities: list[Float[Tensor, "_ _ _"]], groups: list[Float[Tensor, "_ _ features"]]
) -> Float[Tensor, "features"]:
    """Σ_b v_bᵀ S_b v_b for every feature's column v_b [T], S_b another's similarity [T, T]."""
    pairs = zip(similarities, groups, strict=True)
    return torch.stack([(s @ v).mul_(v).sum((0, 1)) for s, v in pairs]).sum(0)


def from_gradients(
    x: Tokens, delta: Tokens, asked: frozenset[Statistic]
) -> dict[Statistic, Float[Tensor, "..."]]:
    fisher = sum_of_squared_gradients(x, delta)
    summed_over = {Statistic.FISHER_IN: 0, Statistic.FISHER_OUT: 1}
    sums = {name: fisher.sum(summed_over[name]) for name in sorted(asked & summed_over.keys())}
    return {Statistic.FISHER: fisher, **sums} if Statistic.FISHER in asked else sums


def sum_of_squared_gradients(x: Tokens, delta: Tokens) -> Float[Tensor, "out in"]:
    """F of this batch; a few examples' gradients exist at a time."""
    fisher = x.groups[0].new_zeros(delta.features, x.features)
    for inputs, gradients in zip(x.groups, delta.zero_groups, strict=True):
        fisher += torch.bmm(gradients.mT, inputs).square_().sum(0)
    return fisher
