"""Entities against seqeval, over random IOB2 sequences, well-formed or not."""

import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics import f1_score, precision_score, recall_score
from seqeval.metrics.sequence_labeling import get_entities

from core.compression.metrics.entities import entities, entity_counts, is_iob

TAG = st.sampled_from(["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-a-b", "I-a-b"])
PAIR = st.lists(st.tuples(TAG, TAG), min_size=1, max_size=12)
ROWS = st.lists(PAIR, min_size=1, max_size=6)


@given(st.lists(TAG, max_size=20))
def test_entities_are_seqevals(tags: list[str]) -> None:
    assert entities(tags) == set(get_entities(tags))


@given(ROWS)
def test_scores_over_all_rows_are_seqevals(rows: list[list[tuple[str, str]]]) -> None:
    answered = [[a for a, _ in row] for row in rows]
    true = [[t for _, t in row] for row in rows]
    counts = [entity_counts(a, t) for a, t in zip(answered, true, strict=True)]
    both, found, asked = (sum(column) for column in zip(*counts, strict=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # seqeval says so where a score has no denominator
        assert both / max(found, 1) == pytest.approx(precision_score(true, answered))
        assert both / max(asked, 1) == pytest.approx(recall_score(true, answered))
        assert 2 * both / max(found + asked, 1) == pytest.approx(f1_score(true, answered))


def test_a_stray_inside_tag_begins_an_entity() -> None:
    assert entities(["I-X", "I-X", "I-Y", "B-Y", "O", "I-Y"]) == {
        ("X", 0, 1),
        ("Y", 2, 2),
        ("Y", 3, 3),
        ("Y", 5, 5),
    }


def test_parts_of_speech_are_no_entities() -> None:
    assert is_iob(["O", "B-X", "I-X"])
    assert not is_iob(["NN", "VB", "O"])
    assert not is_iob(["O", "B-"])
