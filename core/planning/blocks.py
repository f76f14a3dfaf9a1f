"""The target layers by the Transformer block that they lie in, read off their names.

A block's name is a layer's up to its first number: ``bert.encoder.layer.0`` of
``bert.encoder.layer.0.attention.self.query``.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

UP_TO_THE_NUMBER = re.compile(r"(?:[^.]+\.)+?\d+(?=\.)")


@dataclass(frozen=True)
class Block:
    """One block with its target layers, in model order."""

    name: str
    layers: tuple[str, ...]


def blocks_of(layers: Sequence[str]) -> tuple[Block, ...] | None:
    """In model order; None where a layer lies in no numbered block."""
    members: dict[str, list[str]] = {}
    for layer in layers:
        found = UP_TO_THE_NUMBER.match(layer)
        if found is None:
            return None
        members.setdefault(found.group(), []).append(layer)
    return tuple(Block(name, tuple(names)) for name, names in members.items())
