"""Module names of a Transformer, read as a block's number and a module's short label."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

REDUNDANT = frozenset({"dense", "self"})
"""Parts of a module name that tell a reader nothing."""


@dataclass(frozen=True)
class LayerPlace:
    """Where a layer sits: `bert.encoder.layer.3.attention.self.query` is query in block 3."""

    block: int | None
    module: str


def place_of(name: str) -> LayerPlace:
    """The first number in the name is the block; what follows is the module within it."""
    match = re.search(r"(?:^|\.)(\d+)\.", name)
    if match is None:
        return LayerPlace(block=None, module=name)
    return LayerPlace(block=int(match[1]), module=name[match.end() :])


def short_labels(modules: Iterable[str]) -> dict[str, str]:
    """The shortest ending of each module's telling parts that no other module shares."""
    parts = {module: telling_parts(module) for module in modules}
    return {module: _label(module, parts) for module in parts}


def layer_titles(names: Iterable[str]) -> dict[str, str]:
    """Each layer's title: the number of its block and the short label of its module."""
    places = {name: place_of(name) for name in names}
    labels = short_labels(place.module for place in places.values())
    return {name: _title(place, labels) for name, place in places.items()}


def _title(place: LayerPlace, labels: dict[str, str]) -> str:
    label = labels[place.module]
    return label if place.block is None else f"{place.block} {label}"


def telling_parts(module: str) -> tuple[str, ...]:
    return tuple(p for p in module.split(".") if p not in REDUNDANT) or (module,)


def _label(module: str, parts: dict[str, tuple[str, ...]]) -> str:
    own = parts[module]
    others = [other for name, other in parts.items() if name != module]
    for length in range(1, len(own)):
        ending = own[-length:]
        if all(other[-length:] != ending for other in others):
            return ".".join(ending)
    return ".".join(own)
