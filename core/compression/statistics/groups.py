"""A batch's examples in groups of similar length, so that little work is spent on padding."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

GROUP_POSITIONS = {"cpu": 512}
"""A group has at most so many positions: what a processor's cache holds of a wide layer."""
LARGE_GROUP = 16_384
"""The same for devices that want to be kept busy."""


@dataclass(frozen=True)
class Group:
    """Some examples, and the positions between which they have tokens."""

    examples: Tensor | slice
    positions: slice
    padding: Bool[Tensor, "examples positions"] | None
    """True at padding; None where there is none."""

    def of(
        self, values: Float[Tensor, "batch length features"]
    ) -> Float[Tensor, "examples positions features"]:
        """The group's values, whatever stands at padding."""
        return values[self.examples, self.positions]

    def zero_at_padding(
        self, values: Float[Tensor, "batch length features"]
    ) -> Float[Tensor, "examples positions features"]:
        some = self.of(values)
        return some if self.padding is None else some.masked_fill(self.padding[..., None], 0)


def full_groups(examples: int, length: int, device: torch.device) -> list[Group]:
    """Where nothing is padding."""
    step = max(1, group_positions(device) // length)
    starts = range(0, examples, step)
    return [Group(slice(start, start + step), slice(None), None) for start in starts]


def padded_groups(mask: Bool[Tensor, "batch length"]) -> list[Group]:
    """By a mask that is True at tokens."""
    begins = mask.int().argmax(1).tolist()
    ends = (mask.shape[1] - mask.flip(1).int().argmax(1)).tolist()
    lengths = [end - begin for begin, end in zip(begins, ends, strict=True)]
    groups = []
    for members in of_similar_length(lengths, group_positions(mask.device)):
        positions = slice(min(begins[m] for m in members), max(ends[m] for m in members))
        examples = together(members, mask.device)
        padding = ~mask[examples, positions]
        groups.append(Group(examples, positions, padding if padding.any() else None))
    return groups


def together(members: list[int], device: torch.device) -> Tensor | slice:
    """A slice, which copies nothing, where they lie in a row, as in batches sorted by length."""
    if members == list(range(members[0], members[-1] + 1)):
        return slice(members[0], members[-1] + 1)
    return torch.tensor(members, device=device)


def of_similar_length(lengths: list[int], positions: int) -> Iterator[list[int]]:
    """Indices by length, as many together as fit so many positions."""
    group: list[int] = []
    for example in sorted(range(len(lengths)), key=lengths.__getitem__):
        if group and (len(group) + 1) * lengths[example] > positions:
            yield group
            group = []
        group.append(example)
    yield group


def group_positions(device: torch.device) -> int:
    return GROUP_POSITIONS.get(device.type, LARGE_GROUP)
