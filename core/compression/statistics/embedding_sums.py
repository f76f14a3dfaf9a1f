"""What a pass sums of a token embedding and of the heads tied to it, and what it makes of that.

An embedding with the table E [vocab, dim] is the linear layer y = W x, W = Eᵀ [dim, vocab], of
one-hot tokens x. The Gram of its inputs is the diagonal of the token counts, A = diag(c), and is
kept as one; G = Σ δ δᵀ is [dim, dim] as everywhere (its diagonal where dim is over 8,192). Then

    C = W A Wᵀ = Eᵀ diag(c) E,        B = Wᵀ G W = E G Eᵀ.

A tied head computes z = Wᵀ h, [vocab]. With its inputs' Gram H = Σ h hᵀ and the squared gradients
d_v = Σ (∂loss/∂z_v)², of which the vocabulary side keeps the diagonal too, the Fisher information
of W over T tokens is

    (G ⊗ diag(c) + H ⊗ diag(d)) / T,

both uses counted; the two-sided statistics are those of the nearest single product P ⊗ diag(q),
q scaled to Σ q = T: P stands for G and diag(q) for A. Without gradients (one-sided methods) the
outputs' squared error ‖E A^½‖² + ‖H^½ E‖² of an error E has the nearest one-sided weight
q = c + mean(diag H).

A one-hot token has x² = |x| = x. So Σ x = c, which an embedding, that has no bias, is asked for in
vain; and Σ |x|, by whose power ASVD weights the error of a feature, is the one-sided q again: at
the power ½ it gives the same weight that diag(q) does.
"""

from dataclasses import dataclass, fields

import torch
from jaxtyping import Float
from torch import Tensor

from core.compression.statistics.embedding_fisher import Squares
from core.compression.statistics.nearest_kronecker import Kronecker, nearest_kronecker
from core.recipe.statistics import LARGEST_GRAM_SIDE


@dataclass
class EmbeddingSums:
    """Zero to begin with; sums of shards add up."""

    counts: Float[Tensor, "vocab"]
    """c."""
    gradients: Tensor
    """G, or its diagonal."""
    head_inputs: Tensor
    """H, or its diagonal, over all tied heads."""
    head_gradients: Float[Tensor, "vocab"]
    """d."""
    fisher: Float[Tensor, "rows dim"]
    """Of no rows where it is not asked for."""
    fisher_in: Float[Tensor, "vocab"]
    fisher_out: Float[Tensor, "dim"]

    @classmethod
    def zeros(
        cls, vocab: int, dim: int, whole_fisher: bool, dtype: torch.dtype, device: torch.device
    ) -> "EmbeddingSums":
        """Nothing seen."""

        def zero(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=dtype, device=device)

        side = (dim,) if dim > LARGEST_GRAM_SIDE else (dim, dim)
        fisher = zero(vocab if whole_fisher else 0, dim), zero(vocab), zero(dim)
        return cls(zero(vocab), zero(*side), zero(*side), zero(vocab), *fisher)

    def __add__(self, other: "EmbeddingSums") -> "EmbeddingSums":
        names = [field.name for field in fields(self)]
        return EmbeddingSums(*(getattr(self, name) + getattr(other, name) for name in names))

    def add_squares(self, squares: Squares) -> None:
        values = squares.values.to(self.counts.dtype)
        self.fisher_in.index_add_(0, squares.tokens, values.sum(1))
        self.fisher_out += values.sum(0)
        if len(self.fisher):
            self.fisher.index_add_(0, squares.tokens, values)

    def two_sided(self, tokens: int) -> Kronecker:
        """P and diag(q); G and the counts where no head is tied."""
        lookup = Kronecker(self.gradients, self.counts)
        if not self.head_gradients.any():
            return lookup
        head = Kronecker(self.head_inputs, self.head_gradients)
        return nearest_kronecker([lookup, head], float(tokens))

    def one_sided(self) -> Float[Tensor, "vocab"]:
        """q = c + mean(diag H)."""
        energy = self.head_inputs if self.head_inputs.dim() == 1 else self.head_inputs.diagonal()
        return self.counts + energy.mean()


def output_gram(
    table: Float[Tensor, "vocab dim"], q: Float[Tensor, "vocab"]
) -> Float[Tensor, "dim dim"]:
    """C = Eᵀ diag(q) E."""
    return table.T * q @ table


def input_grad_gram(table: Float[Tensor, "vocab dim"], p: Tensor) -> Float[Tensor, "vocab vocab"]:
    """B = E P Eᵀ."""
    return (table * p if p.dim() == 1 else table @ p) @ table.T


def input_gram(q: Float[Tensor, "vocab"]) -> Tensor:
    """diag(q) as every other Gram of its size is held."""
    return q if len(q) > LARGEST_GRAM_SIDE else torch.diag(q)
