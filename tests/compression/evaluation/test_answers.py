"""Answers as SQuAD's own evaluation scores them, on cases worked out by hand."""

import pytest

from core.compression.metrics.answers import exact_match, normalized, word_f1


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("The  Eiffel Tower.", "eiffel tower"),
        ("an apple a day", "apple day"),
        ("Theatre of the Absurd!", "theatre of absurd"),
        ("U.S.", "us"),
        ("twenty-one", "twentyone"),
        ("'The'", ""),
        ("", ""),
    ],
)
def test_normalized(answer: str, expected: str) -> None:
    assert normalized(answer) == expected


@pytest.mark.parametrize(
    ("answer", "gold", "exact", "f1"),
    [
        ("the Norman conquest", ["Norman Conquest"], 1, 1),
        ("Norman", ["Norman Conquest"], 0, 2 / 3),
        ("in the year 1066", ["1066", "year 1066"], 0, 0.8),
        ("red red blue", ["red blue blue"], 0, 2 / 3),
        ("green", ["red"], 0, 0),
        ("the", ["a"], 1, 1),
        ("", ["red"], 0, 0),
    ],
)
def test_scores(answer: str, gold: list[str], exact: float, f1: float) -> None:
    assert exact_match(answer, gold) == exact
    assert word_f1(answer, gold) == pytest.approx(f1)
