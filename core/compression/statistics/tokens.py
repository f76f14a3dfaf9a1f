"""The values of one batch at its real tokens: padding counts nowhere.

The same quantities serve every statistic, whether the values are inputs x, outputs y − b, output
gradients δ or input gradients Wᵀδ; each is computed at most once, so that layers that share an
input (query, key, value) share its Gram.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from core.compression.linalg import accumulation_dtype, gram
from core.compression.statistics.groups import Group, full_groups, padded_groups
from core.errors import ModelError
from core.recipe.statistics import LARGEST_GRAM_SIDE

Batch = Mapping[str, Tensor]
"""What a model is called with, and the labels, [batch, ...] each. `attention_mask` marks tokens."""


class Padding:
    """Which of a batch's [batch, length] positions are tokens; `mask` is None where all are."""

    def __init__(self, examples: int, mask: Tensor | None = None, length: int | None = None):
        self.examples = examples
        self.mask = mask
        self.length = length
        """Positions per example, where they are known."""

    @classmethod
    def of(cls, batch: Batch) -> "Padding":
        examples, mask = len(next(iter(batch.values()))), batch.get("attention_mask")
        length = None if mask is None else mask.shape[1]
        return cls(examples, None if mask is None or bool(mask.all()) else mask.bool(), length)

    def is_shared(self, values: Tensor) -> bool:
        """Values [1, rows, features] of no example, read by all."""
        if values.dim() != 3 or len(values) != 1 or values.shape[1] == self.length:
            return False
        return self.examples > 1 or self.length is not None

    def of_length(self, length: int) -> "Padding":
        """For values with this many positions per example: one means no token axis."""
        if self.mask is None or self.mask.shape[1] == length:
            return self
        if length == 1:
            return Padding(self.examples)
        raise ModelError(
            f"{length} positions per example do not match the mask's {self.mask.shape[1]}"
        )

    @cached_property
    def places(self) -> Tensor | None:
        """The tokens' places in the flattened batch."""
        return None if self.mask is None else self.mask.flatten().nonzero().squeeze(1)

    @cached_property
    def _groups(self) -> list[Group]:
        return [] if self.mask is None else padded_groups(self.mask)

    def groups(self, values: Float[Tensor, "batch length features"]) -> list[Group]:
        examples, length = values.shape[:2]
        return self._groups or full_groups(examples, length, values.device)


def joined(parts: Sequence["Tokens"]) -> "Tokens":
    """Each example's tokens one part after the other."""
    if len(parts) == 1:
        return parts[0]
    masks = torch.cat([part.mask for part in parts], 1)
    values = torch.cat([part.values for part in parts], 1)
    return Tokens(values, Padding(len(masks), None if bool(masks.all()) else masks))


class Tokens:
    """Values [batch, length, features], from a tensor [batch, length, features] or
    [batch, features] or [batch · length, features]."""

    def __init__(self, values: Tensor, padding: Padding):
        self._source = values.detach()
        self._version = values._version
        self._length = values.shape[:-1].numel() // padding.examples
        self._padding = padding.of_length(self._length)

    @property
    def length(self) -> int:
        """Positions per example, with padding."""
        return self._length

    @property
    def features(self) -> int:
        return self._source.shape[-1]

    @property
    def count(self) -> int:
        """How many tokens."""
        places = self._padding.places
        return self._padding.examples * self._length if places is None else len(places)

    def minus(self, shift: Float[Tensor, "features"] | None) -> "Tokens":
        """The values less the same vector everywhere."""
        return self if shift is None else Tokens(self._source - shift, self._padding)

    @property
    def mask(self) -> Bool[Tensor, "batch length"]:
        """True at tokens."""
        if self._padding.mask is not None:
            return self._padding.mask
        shape = (self._padding.examples, self._length)
        return torch.ones(shape, dtype=torch.bool, device=self._source.device)

    @property
    def values(self) -> Float[Tensor, "batch length features"]:
        if self._source._version != self._version:
            raise ModelError("the model overwrites a target layer's input in place")
        values = self._source.reshape(self._padding.examples, self._length, self.features)
        return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values

    @cached_property
    def rows(self) -> Float[Tensor, "tokens features"]:
        """The values without padding."""
        rows, places = self.values.flatten(0, 1), self._padding.places
        return rows if places is None else rows.index_select(0, places)

    @cached_property
    def groups(self) -> list[Float[Tensor, "_ _ features"]]:
        """V_b [T, features] of several examples at a time, whatever stands at padding."""
        values = self.values
        return [group.of(values) for group in self._padding.groups(values)]

    @cached_property
    def zero_groups(self) -> list[Float[Tensor, "_ _ features"]]:
        """The same groups, zero at padding."""
        values = self.values
        return [group.zero_at_padding(values) for group in self._padding.groups(values)]

    @cached_property
    def gram(self) -> Float[Tensor, "features features"]:
        """Σ_tokens v vᵀ."""
        return gram(self.rows)

    @property
    def squares(self) -> Float[Tensor, "features"]:
        """Σ_tokens v², the Gram's diagonal."""
        return self.rows.square().sum(0)

    @property
    def second_moments(self) -> Tensor:
        """The Gram, or its diagonal where the side is too large for one."""
        return self.squares if self.features > LARGEST_GRAM_SIDE else self.gram

    @cached_property
    def energy(self) -> Float[Tensor, ""]:
        """Σ_tokens ‖v‖², the Gram's trace; read off the Gram where that is there already."""
        if "gram" in vars(self):
            return self.gram.trace()
        norms: Tensor = torch.linalg.vector_norm(self.rows, dim=1)
        return norms.square().sum()

    @cached_property
    def total(self) -> Float[Tensor, "features"]:
        """Σ_tokens v, in the precision in which sums accumulate."""
        return self.rows.sum(0, dtype=accumulation_dtype(self.rows.device))

    @cached_property
    def absolute_total(self) -> Float[Tensor, "features"]:
        """Σ_tokens |v|."""
        return self.rows.abs().sum(0, dtype=accumulation_dtype(self.rows.device))

    @cached_property
    def similarities(self) -> list[Float[Tensor, "_ _ _"]]:
        """V_b V_bᵀ [T, T] of `groups`."""
        return [v @ v.mT for v in self.groups]

    @property
    def zero_similarities(self) -> list[Float[Tensor, "_ _ _"]]:
        """V_b V_bᵀ [T, T] of `zero_groups`."""
        return [v @ v.mT for v in self.zero_groups]
