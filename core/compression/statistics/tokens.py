"""The values of one batch at its real tokens: padding counts nowhere.

The same four quantities serve every statistic, whether the values are inputs x, outputs y−b,
output gradients δ or input gradients Wᵀδ; each is computed at most once, so that layers that share
an input (query, key, value) share its Gram.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from core.compression.linalg import gram
from core.errors import ModelError

Batch = Mapping[str, Tensor]
"""What a model is called with, and the labels, [batch, ...] each. `attention_mask` marks tokens."""


@dataclass(frozen=True)
class Padding:
    """Where a batch's [batch, length] positions are padding; ``mask`` None where none is."""

    examples: int
    mask: Bool[Tensor, "batch length"] | None = None
    positions: Int[Tensor, "tokens"] | None = None
    """The real tokens' positions in the flattened batch."""

    @classmethod
    def of(cls, batch: Batch) -> "Padding":
        examples = len(next(iter(batch.values())))
        mask = batch.get("attention_mask")
        if mask is None or bool(mask.all()):
            return cls(examples)
        return cls(examples, mask == 0, mask.flatten().nonzero().squeeze(1))

    def of_length(self, length: int) -> "Padding":
        """For values with this many positions per example: one means no token axis."""
        if self.mask is None or self.mask.shape[1] == length:
            return self
        if length == 1:
            return Padding(self.examples)
        raise ModelError(
            f"{length} positions per example do not match the mask's {self.mask.shape[1]}"
        )


class Tokens:
    """Values [batch, length, features], from a tensor [batch, length, features] or
    [batch, features] or [batch · length, features]."""

    def __init__(self, values: Tensor, padding: Padding):
        self._source = values.detach()
        self._version = values._version
        length = values.shape[:-1].numel() // padding.examples
        self._padding = padding.of_length(length)
        self._shape = (padding.examples, length, values.shape[-1])

    @property
    def length(self) -> int:
        return self._shape[1]

    @property
    def features(self) -> int:
        return self._shape[2]

    @cached_property
    def count(self) -> int:
        """How many tokens."""
        positions = self._padding.positions
        return self._shape[0] * self._shape[1] if positions is None else len(positions)

    @property
    def _values(self) -> Float[Tensor, "batch length features"]:
        if self._source._version != self._version:
            raise ModelError("the model overwrites a target layer's input in place")
        values = self._source.reshape(self._shape)
        return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values

    def minus(self, shift: Float[Tensor, "features"] | None) -> "Tokens":
        """The values less the same vector everywhere."""
        return self if shift is None else Tokens(self._source - shift, self._padding)

    @cached_property
    def padded(self) -> Float[Tensor, "batch length features"]:
        """The values, zero at padding."""
        mask = self._padding.mask
        return self._values if mask is None else self._values.masked_fill(mask[..., None], 0)

    @cached_property
    def rows(self) -> Float[Tensor, "tokens features"]:
        """The values without padding."""
        rows, positions = self._values.flatten(0, 1), self._padding.positions
        return rows if positions is None else rows.index_select(0, positions)

    @cached_property
    def gram(self) -> Float[Tensor, "features features"]:
        """Σ_tokens v vᵀ."""
        return gram(self.rows)

    @cached_property
    def energy(self) -> Float[Tensor, ""]:
        """Σ_tokens ‖v‖², the Gram's trace; read off the Gram where that is there already."""
        if "gram" in vars(self):
            return self.gram.trace()
        norms = torch.linalg.vector_norm(self.rows, dim=1)
        return norms.square().sum()

    @cached_property
    def similarity(self) -> Float[Tensor, "batch length length"]:
        """V_b V_bᵀ of every example b; zero at padding."""
        return self.padded @ self.padded.mT
