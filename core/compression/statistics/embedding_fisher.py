"""The Fisher of a token embedding: exact over single examples, all uses of a tied table together.

The gradient of example b's loss at the table E [vocab, dim] has the row Σ_{t: token t is v} δ_t for
token v, and what every tied head adds, Σ_t (∂loss/∂z_t) h_tᵀ. Without a head only the rows of the
example's own tokens are not zero, and only those are made.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor


class HeadUse(NamedTuple):
    """What a tied head read at some tokens, and the gradients at its logits there."""

    h: Float[Tensor, "tokens dim"]
    gradient: Float[Tensor, "tokens vocab"]
    examples: Int[Tensor, "tokens"]


class Squares(NamedTuple):
    """Rows of squared gradients of E; one token may have several."""

    tokens: Int[Tensor, "rows"]
    values: Float[Tensor, "rows dim"]


def squared_gradients(
    ids: Int[Tensor, "tokens"],
    examples: Int[Tensor, "tokens"],
    delta: Float[Tensor, "tokens dim"],
    heads: Sequence[HeadUse],
    vocab: int,
) -> Iterator[Squares]:
    """Of every example in a batch."""
    if heads:
        yield from of_tied(ids, examples, delta, heads, vocab)
    else:
        yield of_lookup(ids, examples, delta, vocab)


def of_lookup(
    ids: Int[Tensor, "tokens"],
    examples: Int[Tensor, "tokens"],
    delta: Float[Tensor, "tokens dim"],
    vocab: int,
) -> Squares:
    """One row for each pair of an example and a token in it."""
    pairs, row_of = torch.unique(examples * vocab + ids, return_inverse=True)
    rows = delta.new_zeros(len(pairs), delta.shape[1]).index_add_(0, row_of, delta)
    return Squares(pairs % vocab, rows.square_())


def of_tied(
    ids: Int[Tensor, "tokens"],
    examples: Int[Tensor, "tokens"],
    delta: Float[Tensor, "tokens dim"],
    heads: Sequence[HeadUse],
    vocab: int,
) -> Iterator[Squares]:
    """One example's whole gradient [vocab, dim] exists at a time."""
    every = torch.arange(vocab, device=ids.device)
    for example in torch.unique(examples).tolist():
        own = examples == example
        gradient = delta.new_zeros(vocab, delta.shape[1]).index_add_(0, ids[own], delta[own])
        for head in heads:
            there = head.examples == example
            gradient += head.gradient[there].T @ head.h[there]
        yield Squares(every, gradient.square_())
