import numpy as np
import pytest

from core.compression.evaluation.changed_answers import (
    LONGEST_TEXT,
    changed_rows,
    compare_answers,
    share_out,
)
from core.compression.tasks.answers import Answers, count_labels

TRUE = list("aabbcc")


def answers(given: str, confidence: list[float] | None = None) -> Answers:
    return Answers(
        given=list(given),
        true=TRUE,
        errors=np.array([float(g != t) for g, t in zip(given, TRUE, strict=True)]),
        error_unit="label",
        confidence=None if confidence is None else np.array(confidence),
        labels=count_labels("abc", TRUE, given),
    )


DENSE = answers("aabbca")
RESULT = answers("abbacb", [0.9, 0.6, 0.9, 0.8, 0.9, 0.5])
"""Rows 1 and 3 got worse, 3 the surer; row 5 is as wrong, in another way."""
TEXTS = [(f"text {n}",) for n in range(6)]


def test_the_surest_of_the_worst_comes_first() -> None:
    worse, better, other = changed_rows(DENSE, RESULT)
    assert (worse.tolist(), better.tolist(), other.tolist()) == ([3, 1], [], [5])
    worse, better, other = changed_rows(RESULT, DENSE)
    assert (worse.tolist(), better.tolist(), other.tolist()) == ([], [1, 3], [5])


def test_counts_are_of_all_rows_and_examples_of_some() -> None:
    compared = compare_answers(DENSE, RESULT, TEXTS, "finetuned", most=1)
    changes = compared.changes
    assert (changes.rows, changes.worse, changes.better, changes.other) == (6, 2, 0, 1)
    (example,) = compared.examples
    assert (example.row, example.kind, example.texts) == (3, "worse", ("text 3",))
    assert (example.true, example.dense, example.result) == ("b", "b", "a")
    assert (example.dense_confidence, example.result_confidence) == (None, 0.8)


def test_every_label_says_what_changed() -> None:
    compared = compare_answers(DENSE, RESULT, TEXTS, "finetuned", most=0)
    assert compared.examples == ()
    found = {
        c.label: (c.dense.right, c.result.right, c.dense.true) for c in compared.changes.labels
    }
    assert found == {"a": (2, 1, 2), "b": (2, 1, 2), "c": (1, 1, 2)}


def test_nothing_changed() -> None:
    changes = compare_answers(DENSE, DENSE, TEXTS, "factorized", most=10)
    assert (changes.changes.worse, changes.changes.other, changes.examples) == (0, 0, ())


def test_long_texts_are_cut() -> None:
    texts = [("x" * 5000,)] * 6
    compared = compare_answers(DENSE, RESULT, texts, "finetuned", most=1)
    assert len(compared.examples[0].texts[0]) == LONGEST_TEXT


@pytest.mark.parametrize(
    ("sizes", "most", "expected"),
    [
        ((10, 10, 10), 8, (4, 2, 2)),
        ((10, 1, 0), 8, (7, 1, 0)),
        ((0, 10, 0), 8, (0, 8, 0)),
        ((2, 3, 1), 50, (2, 3, 1)),
        ((5, 5, 5), 0, (0, 0, 0)),
        ((5, 5, 5), 1, (1, 0, 0)),
    ],
)
def test_room_is_shared_out(
    sizes: tuple[int, int, int], most: int, expected: tuple[int, int, int]
) -> None:
    groups = [np.arange(size) for size in sizes]
    chosen = share_out(groups, most)
    assert tuple(len(group) for group in chosen) == expected
    assert sum(expected) <= most
