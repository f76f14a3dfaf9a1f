"""A linear layer as the product of two thin ones, and the pair of factors it is made from."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Factors:
    """``outer @ inner`` stands for a weight matrix [out, in]."""

    outer: Float[Tensor, "out rank"]
    inner: Float[Tensor, "rank in"]

    @property
    def rank(self) -> int:
        return self.inner.shape[0]

    @property
    def params(self) -> int:
        return self.outer.numel() + self.inner.numel()

    def product(self) -> Float[Tensor, "out in"]:
        return self.outer @ self.inner


class LowRankLinear(nn.Module):
    """``y = outer (inner x) + bias`` with inner [rank, in], outer [out, rank], bias [out]."""

    def __init__(self, in_features: int, out_features: int, rank: int, bias: bool = True):
        super().__init__()
        self.in_features, self.out_features, self.rank = in_features, out_features, rank
        self.inner = nn.Parameter(torch.empty(rank, in_features))
        self.outer = nn.Parameter(torch.empty(out_features, rank))
        self.bias = nn.Parameter(torch.empty(out_features)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.normal_(self.inner, std=self.in_features**-0.5)
        nn.init.normal_(self.outer, std=self.rank**-0.5)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    @classmethod
    def from_factors(cls, factors: "Factors", bias: torch.Tensor | None) -> "LowRankLinear":
        """The layer of these factors, in their dtype and on their device; nothing is shared."""
        (out_features, rank), in_features = factors.outer.shape, factors.inner.shape[1]
        with torch.device("meta"):
            layer = cls(in_features, out_features, rank, bias is not None)
        layer.inner = nn.Parameter(
            factors.inner.detach().clone(memory_format=torch.contiguous_format)
        )
        layer.outer = nn.Parameter(
            factors.outer.detach().clone(memory_format=torch.contiguous_format)
        )
        if bias is not None:
            layer.bias = nn.Parameter(bias.detach().clone())
        return layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(F.linear(x, self.inner), self.outer, self.bias)

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}, rank={self.rank}"
