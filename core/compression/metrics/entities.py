"""Entities in tag sequences, as the CoNLL evaluation and seqeval's default mode find them.

Ramshaw & Marcus, Text chunking using transformation-based learning, 1995 (IOB tags); an entity
counts as found when its type, first and last word are all right.
"""

from collections.abc import Iterable, Sequence

Entity = tuple[str, int, int]
"""Type, first and last word."""


def is_iob(tag_names: Iterable[str]) -> bool:
    """Whether these are tags of entities: O, B-X, I-X and no others."""
    return all(name == "O" or (name[:2] in ("B-", "I-") and len(name) > 2) for name in tag_names)


def entities(tags: Sequence[str]) -> set[Entity]:
    """The entities of one row. A stray I-X begins an entity of its own."""
    found: set[Entity] = set()
    kind, start = "", 0
    for place, tag in enumerate([*tags, "O"]):
        begins = tag[:2] == "B-" or (tag[:2] == "I-" and tag[2:] != kind)
        if kind and (begins or tag == "O"):
            found.add((kind, start, place - 1))
        if begins:
            kind, start = tag[2:], place
        elif tag == "O":
            kind = ""
    return found


def entity_counts(answered: Sequence[str], true: Sequence[str]) -> tuple[int, int, int]:
    """Of one row: entities found and true, found, true."""
    ours, theirs = entities(answered), entities(true)
    return len(ours & theirs), len(ours), len(theirs)
