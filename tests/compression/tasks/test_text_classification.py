from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.compression.tasks.text_classification import (
    names_in_head,
    read_texts,
    tokenize,
)
from core.errors import DataError
from core.recipe.sources import PathDataset
from core.recipe.task import TextClassification
from tests.compression.tiny_models import pairs, sentences, tiny_tokenizer

DATASET = PathDataset(path="texts.csv")
SINGLE = TextClassification(dataset=DATASET)
PAIR = TextClassification(dataset=DATASET, text="first", text_pair="second")


def test_labels_are_numbered_in_sorted_order() -> None:
    texts = read_texts(sentences(9), SINGLE)
    assert texts.label_names == ("bad", "good")
    assert list(texts.labels) == [0, 1, 1] * 3


def test_whole_numbers_are_sorted_by_value() -> None:
    rows = [{"text": "a", "label": label} for label in (10, 9, 100, 9)]
    assert read_texts(rows, SINGLE).label_names == ("9", "10", "100")
    assert read_texts([{**r, "label": str(r["label"])} for r in rows], SINGLE).label_names == (
        "9",
        "10",
        "100",
    )


@pytest.mark.parametrize(
    ("row", "pointer"),
    [
        ({"body": "a", "label": "x"}, "/task/text"),
        ({"text": "a", "class": "x"}, "/task/label"),
        ({"text": "", "label": "x"}, "/task/text"),
        ({"text": 3, "label": "x"}, "/task/text"),
        ({"text": "a", "label": None}, "/task/label"),
        ({"text": "a", "label": 0.5}, "/task/label"),
        ({"text": "a", "label": True}, "/task/label"),
    ],
)
def test_unusable_rows_are_refused_with_their_field(row: dict[str, Any], pointer: str) -> None:
    with pytest.raises(DataError, match="Row 7") as refused:
        read_texts([*sentences(6), row], SINGLE)
    assert refused.value.pointer == pointer


def test_a_missing_second_text_is_refused() -> None:
    with pytest.raises(DataError) as refused:
        read_texts(sentences(6), TextClassification(dataset=DATASET, text_pair="second"))
    assert refused.value.pointer == "/task/text_pair"


def test_a_single_label_is_refused() -> None:
    with pytest.raises(DataError, match="only the label 'good'") as refused:
        read_texts([{"text": "a", "label": "good"}] * 9, SINGLE)
    assert refused.value.pointer == "/task/label"


def test_no_rows_are_refused() -> None:
    with pytest.raises(DataError, match="no rows") as refused:
        read_texts([], SINGLE)
    assert refused.value.pointer == "/task/dataset"


def test_tokens_are_truncated_and_rows_keep_their_order(tmp_path: Path) -> None:
    texts = read_texts(sentences(30), SINGLE)
    rows = np.array([5, 2, 9])
    examples = tokenize(texts, rows, tiny_tokenizer(tmp_path), max_length=5)
    assert torch.equal(examples.labels, torch.tensor([1, 1, 0]))
    assert list(examples.lengths) == [5, 5, 5]
    assert [len(ids) for ids in examples.encodings["attention_mask"]] == [5, 5, 5]


def test_pairs_are_told_apart_by_token_types(tmp_path: Path) -> None:
    texts = read_texts(pairs(12), PAIR)
    examples = tokenize(texts, np.arange(12), tiny_tokenizer(tmp_path), max_length=32)
    assert all(set(types) == {0, 1} for types in examples.encodings["token_type_ids"])


def test_a_head_is_known_by_its_names_or_by_plain_numbers() -> None:
    own = ("negative", "neutral", "positive")
    assert names_in_head(own, ("negative", "positive")) == own
    assert names_in_head(own, ("bad", "good")) is None
    assert names_in_head(("LABEL_0", "LABEL_1"), ("0", "1")) == ("0", "1")
    assert names_in_head(("LABEL_0", "LABEL_1"), ("1", "2")) is None


def test_renumbered_labels_keep_their_names() -> None:
    texts = read_texts(sentences(9), SINGLE)
    renumbered = texts.renumbered(("good", "other", "bad"))
    assert [renumbered.label_names[n] for n in renumbered.labels] == [
        texts.label_names[n] for n in texts.labels
    ]


def test_majority_rate_is_of_the_rows_asked_for() -> None:
    texts = read_texts(sentences(9), SINGLE)
    assert texts.majority_rate(np.arange(9)) == pytest.approx(2 / 3)
    assert texts.majority_rate(np.array([0, 3, 1])) == pytest.approx(2 / 3)
