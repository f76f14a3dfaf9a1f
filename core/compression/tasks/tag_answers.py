"""Answers in tags, told as what they mean: the entities of a row, or the tag of each word."""

from collections import Counter
from collections.abc import Sequence
from itertools import chain

import numpy as np

from core.compression.metrics.entities import Entity, entities
from core.compression.tasks.answers import Answers, Counts, count_labels

Rows = Sequence[Sequence[str]]
NO_ENTITIES = "none"


def entity_answers(words: Rows, true: Rows, given: Rows, names: Sequence[str]) -> Answers:
    """A row is as wrong as it has entities that are missing or were not to be found."""
    found = [(entities(ours), entities(theirs)) for ours, theirs in zip(given, true, strict=True)]
    pairs = list(zip(words, found, strict=True))
    return Answers(
        given=[_entities_in_words(ours, row) for row, (ours, _) in pairs],
        true=[_entities_in_words(theirs, row) for row, (_, theirs) in pairs],
        errors=np.array([len(ours ^ theirs) for ours, theirs in found], dtype=np.float64),
        error_unit="entity",
        labels=_count_entities(found, names),
    )


def word_answers(words: Rows, true: Rows, given: Rows, names: Sequence[str]) -> Answers:
    """A row is as wrong as it has words with another tag."""
    pairs = list(zip(given, true, strict=True))
    wrong = [sum(g != t for g, t in zip(*pair, strict=True)) for pair in pairs]
    return Answers(
        given=[_tagged(row, tags) for row, tags in zip(words, given, strict=True)],
        true=[_tagged(row, tags) for row, tags in zip(words, true, strict=True)],
        errors=np.array(wrong, dtype=np.float64),
        error_unit="word",
        labels=count_labels(names, chain.from_iterable(true), chain.from_iterable(given)),
    )


def _entities_in_words(found: set[Entity], words: Sequence[str]) -> str:
    """Paris (LOC), John Smith (PER)"""
    ordered = sorted(found, key=lambda entity: entity[1])
    named = (f"{' '.join(words[first : last + 1])} ({kind})" for kind, first, last in ordered)
    return ", ".join(named) or NO_ENTITIES


def _tagged(words: Sequence[str], tags: Sequence[str]) -> str:
    return " ".join(f"{word}/{tag}" for word, tag in zip(words, tags, strict=True))


def _count_entities(
    found: Sequence[tuple[set[Entity], set[Entity]]], names: Sequence[str]
) -> dict[str, Counts]:
    """By type, in the order of the tags' numbers."""
    right = Counter(kind for ours, theirs in found for kind, *_ in ours & theirs)
    answered = Counter(kind for ours, _ in found for kind, *_ in ours)
    true = Counter(kind for _, theirs in found for kind, *_ in theirs)
    kinds = dict.fromkeys(name[2:] for name in names if name != "O")
    return {
        kind: Counts(right[kind], answered[kind], true[kind])
        for kind in kinds
        if answered[kind] or true[kind]
    }
