"""Where several JSON documents differ, field by field."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

ABSENT = None


@dataclass(frozen=True)
class Difference:
    pointer: str
    """RFC 6901."""
    values: tuple[Any, ...]
    """In the documents' order; None where one has no such field."""


def differences(documents: Sequence[dict[str, Any]]) -> list[Difference]:
    """The smallest fields whose values are not all equal, those of one part together."""
    flat = [dict(_leaves(document, "")) for document in documents]
    named = dict.fromkeys(pointer for leaves in flat for pointer in leaves)
    parts = list(dict.fromkeys(map(_part, named)))
    pointers = sorted(named, key=lambda pointer: parts.index(_part(pointer)))
    found = [Difference(p, tuple(leaves.get(p, ABSENT) for leaves in flat)) for p in pointers]
    return [each for each in found if len({json.dumps(value) for value in each.values}) > 1]


def _part(pointer: str) -> str:
    return pointer.split("/")[1] if pointer else ""


def _leaves(value: Any, pointer: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _leaves(inner, f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}")
    else:
        yield pointer, value
