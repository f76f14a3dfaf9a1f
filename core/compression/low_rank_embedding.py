"""A token embedding as a narrow look-up and a small matrix behind it."""

import torch
from torch import nn
from torch.nn import functional as F

from core.compression.low_rank import Factors


class LowRankEmbedding(nn.Module):
    """``y = outer[token] inner`` with outer [vocab, rank], inner [rank, dim]: outer @ inner is the
    table [vocab, dim], and the weight of a head that is tied to it."""

    def __init__(self, vocab: int, dim: int, rank: int, padding_idx: int | None = None):
        super().__init__()
        self.num_embeddings, self.embedding_dim, self.rank = vocab, dim, rank
        self.padding_idx = padding_idx
        self.outer = nn.Parameter(torch.empty(vocab, rank))
        self.inner = nn.Parameter(torch.empty(rank, dim))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.normal_(self.outer)
        nn.init.normal_(self.inner, std=self.rank**-0.5)

    @classmethod
    def from_factors(cls, factors: "Factors", padding_idx: int | None) -> "LowRankEmbedding":
        """The embedding of these factors of its transposed table, [dim, vocab]; nothing is
        shared."""
        (dim, rank), vocab = factors.outer.shape, factors.inner.shape[1]
        with torch.device("meta"):
            embedding = cls(vocab, dim, rank, padding_idx)
        layout = torch.contiguous_format
        embedding.outer = nn.Parameter(factors.inner.detach().T.clone(memory_format=layout))
        embedding.inner = nn.Parameter(factors.outer.detach().T.clone(memory_format=layout))
        return embedding

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return F.embedding(tokens, self.outer, self.padding_idx) @ self.inner

    def extra_repr(self) -> str:
        return f"{self.num_embeddings}, {self.embedding_dim}, rank={self.rank}"
