"""What a model answers to each row, in words: for people to read, and to compare row by row."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Counts(NamedTuple):
    """Of one label: how often it was answered and right, answered, and right to answer."""

    right: int
    answered: int
    true: int


@dataclass(frozen=True)
class Answers:
    """One entry for each row of a split."""

    given: Sequence[str]
    true: Sequence[str]
    errors: NDArray[np.float64]
    """[n]: what is wrong with each, at least 0; its unit is the task's."""
    error_unit: str
    confidence: NDArray[np.float64] | None = None
    """[n]: the model's own probability of what it answers; None where it has none."""
    labels: Mapping[str, Counts] = field(default_factory=dict)
    """In the order of their numbers; empty where answers are no labels."""


def count_labels(
    names: Sequence[str], true: Iterable[str], given: Iterable[str]
) -> dict[str, Counts]:
    """Of pairs of a true and a given label; names that occur in neither are left out."""
    places = {name: place for place, name in enumerate(names)}
    pairs = np.array([(places[t], places[g]) for t, g in zip(true, given, strict=True)], dtype=int)
    pairs = pairs.reshape(-1, 2)
    right = np.bincount(pairs[pairs[:, 0] == pairs[:, 1], 0], minlength=len(names))
    asked, answered = (np.bincount(pairs[:, side], minlength=len(names)) for side in (0, 1))
    counts = zip(right.tolist(), answered.tolist(), asked.tolist(), strict=True)
    return {
        name: Counts(*found) for name, found in zip(names, counts, strict=True) if any(found[1:])
    }
