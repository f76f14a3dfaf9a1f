"""Fisher sums of a token embedding: exact over single examples, both uses of a tied table together.

The gradient of example b's loss at the table E [vocab, dim] has the row Σ_{t: token t is v} δ_t for
token v, and what every tied head adds, Σ_t (∂loss/∂z_t) h_tᵀ. Without a head only the rows of the
example's own tokens are not zero, and only those are made.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from core.compression.statistics.tokens import Tokens


class HeadUse(NamedTuple):
    """A tied head's inputs [.., dim] and its logits' gradients [.., vocab] in one batch."""

    h: Tokens
    gradient: Tokens


class SquaredSums(NamedTuple):
    by_token: Float[Tensor, "vocab"]
    """fisher_in."""
    by_feature: Float[Tensor, "dim"]
    """fisher_out."""


def fisher_of_lookup(
    ids: Int[Tensor, "tokens"],
    examples: Int[Tensor, "tokens"],
    delta: Float[Tensor, "tokens dim"],
    vocab: int,
) -> SquaredSums:
    """One row for each pair of an example and a token in it."""
    pairs, row_of = torch.unique(examples * vocab + ids, return_inverse=True)
    rows = delta.new_zeros(len(pairs), delta.shape[1]).index_add_(0, row_of, delta)
    squares = rows.square_()
    by_token = delta.new_zeros(vocab).index_add_(0, pairs % vocab, squares.sum(1))
    return SquaredSums(by_token, squares.sum(0))


def fisher_of_tied(
    ids: Int[Tensor, "tokens"],
    examples: Int[Tensor, "tokens"],
    delta: Float[Tensor, "tokens dim"],
    heads: Sequence[HeadUse],
    vocab: int,
) -> SquaredSums:
    """One example's whole gradient [vocab, dim] exists at a time."""
    by_token, by_feature = delta.new_zeros(vocab), delta.new_zeros(delta.shape[1])
    for example in torch.unique(examples).tolist():
        own = examples == example
        gradient = delta.new_zeros(vocab, delta.shape[1]).index_add_(0, ids[own], delta[own])
        for head in heads:
            gradient += head.gradient.rows[own].T @ head.h.rows[own]
        squares = gradient.square_()
        by_token += squares.sum(1)
        by_feature += squares.sum(0)
    return SquaredSums(by_token, by_feature)
