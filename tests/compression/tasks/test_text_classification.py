from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.compression.tasks.label_names import names_in_head
from core.compression.tasks.registry import task_kind
from core.errors import DataError, RecipeError
from core.recipe.task import TextClassification
from core.recipe.training import NoFinetune
from tests.compression.tasks.reading import DATASET, classified, read, tokenized
from tests.compression.tiny_models import pairs, sentences, tiny_tokenizer, word_tokenizer

SINGLE = TextClassification(dataset=DATASET)
PAIR = TextClassification(dataset=DATASET, text="first", text_pair="second")
FROM_MODEL = TextClassification(dataset=DATASET, label=None, labels="from_model")


def test_labels_are_numbered_in_sorted_order() -> None:
    data = read(SINGLE, sentences(9))
    assert data.label_names == ("bad", "good")
    assert data.labels is not None
    assert list(data.labels) == [0, 1, 1] * 3


def test_whole_numbers_are_sorted_by_value() -> None:
    rows = [{"text": "a", "label": label} for label in (10, 9, 100, 9)]
    assert read(SINGLE, rows).label_names == ("9", "10", "100")
    assert read(SINGLE, [{**r, "label": str(r["label"])} for r in rows]).label_names == (
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
        read(SINGLE, [*sentences(6), row])
    assert refused.value.pointer == pointer


def test_a_missing_second_text_is_refused() -> None:
    with pytest.raises(DataError) as refused:
        read(TextClassification(dataset=DATASET, text_pair="second"), sentences(6))
    assert refused.value.pointer == "/task/text_pair"


def test_a_single_label_is_refused() -> None:
    with pytest.raises(DataError, match="only the label 'good'") as refused:
        read(SINGLE, [{"text": "a", "label": "good"}] * 9)
    assert refused.value.pointer == "/task/label"


def test_no_rows_are_refused() -> None:
    with pytest.raises(DataError, match="no rows") as refused:
        read(SINGLE, [])
    assert refused.value.pointer == "/task/dataset"


def test_tokens_are_truncated_and_rows_keep_their_order(tmp_path: Path) -> None:
    config = TextClassification(dataset=DATASET, max_length=5)
    data, rows = read(config, sentences(30)), np.array([5, 2, 9])
    examples = task_kind(config).tokenize(data, rows, data.label_names, tiny_tokenizer(tmp_path))
    assert isinstance(examples.labels, torch.Tensor)
    assert torch.equal(examples.labels, torch.tensor([1, 1, 0]))
    assert list(examples.lengths) == [5, 5, 5]
    assert [len(ids) for ids in examples.encodings["attention_mask"]] == [5, 5, 5]


def test_pairs_are_told_apart_by_token_types(tmp_path: Path) -> None:
    examples = tokenized(PAIR, pairs(12), tiny_tokenizer(tmp_path))
    assert all(set(types) == {0, 1} for types in examples.encodings["token_type_ids"])


def test_a_head_is_known_by_its_names_or_by_plain_numbers() -> None:
    own = ("negative", "neutral", "positive")
    assert names_in_head(own, ("negative", "positive")) == own
    assert names_in_head(own, ("bad", "good")) is None
    assert names_in_head(("LABEL_0", "LABEL_1"), ("0", "1")) == ("0", "1")
    assert names_in_head(("LABEL_0", "LABEL_1"), ("1", "2")) is None


def test_labels_are_numbered_as_the_model_does(tmp_path: Path) -> None:
    names = ("good", "other", "bad")
    examples = tokenized(SINGLE, sentences(9), tiny_tokenizer(tmp_path), names)
    assert [names[n] for n in np.asarray(examples.labels)] == [r["label"] for r in sentences(9)]


def test_label_map_calls_the_datas_labels_as_the_model_does() -> None:
    mapped = SINGLE.model_copy(update={"label_map": {"bad": "NEG", "good": "POS"}})
    data = read(mapped, sentences(9))
    assert data.label_names == ("NEG", "POS")
    assert task_kind(mapped).labels_of_head(("POS", "NEG"), data) == ("POS", "NEG")


def test_a_label_map_that_misses_the_model_names_both() -> None:
    mapped = SINGLE.model_copy(update={"label_map": {"bad": "negative", "good": "positive"}})
    with pytest.raises(DataError, match=r"'NEG', 'POS'.*'negative', 'positive'") as refused:
        task_kind(mapped).labels_of_head(("NEG", "POS"), read(mapped, sentences(9)))
    assert refused.value.pointer == "/task/label_map"


def test_without_labels_the_models_own_answers_are_taken(tmp_path: Path) -> None:
    rows = [{"text": row["text"]} for row in sentences(9)]
    examples = tokenized(FROM_MODEL, rows, tiny_tokenizer(tmp_path))
    logits = np.random.default_rng(0).normal(size=(9, 3))
    relabelled = task_kind(FROM_MODEL).relabelled(examples, {"logits": logits})
    assert list(np.asarray(relabelled.labels)) == list(logits.argmax(1))


@pytest.mark.parametrize(
    ("adapt", "new_head", "pointer"),
    [("auto", True, "/task/labels"), ("always", False, "/adapt")],
)
def test_answers_of_an_untrained_model_are_no_labels(
    adapt: Any, new_head: bool, pointer: str
) -> None:
    with pytest.raises(RecipeError) as refused:
        task_kind(FROM_MODEL).check(adapt, NoFinetune(), new_head=new_head)
    assert refused.value.pointer == pointer


def test_f1_of_three_labels_is_refused() -> None:
    config = TextClassification(dataset=DATASET, metric="f1")
    rows = [{"text": "a", "label": label} for label in "abc"]
    with pytest.raises(RecipeError) as refused:
        task_kind(config).labels_of_head((), read(config, rows))
    assert refused.value.pointer == "/task/metric"


def test_the_recipes_metric_comes_first_and_has_a_baseline(tmp_path: Path) -> None:
    examples = classified(sentences(9), tmp_path)
    logits = np.eye(2)[[1, 1, 1, 0, 1, 1, 0, 1, 1]]
    for metric, value, trivial in (
        ("accuracy", 8 / 9, 2 / 3),
        ("f1", 12 / 13, 0.8),
        ("matthews", 0.7559289460184544, 0.0),
    ):
        kind = task_kind(TextClassification(dataset=DATASET, metric=metric))
        found = kind.metrics({"logits": logits}, examples, {"logits": logits})
        assert [m.name for m in found][:1] == [kind.headline] == [metric]
        assert {m.name for m in found} == {"accuracy", "f1", "matthews", "loss", "kl"}
        assert found[0].value == pytest.approx(value)
        assert kind.baseline(examples) == pytest.approx(trivial)


def test_a_text_without_tokens_is_one_padding_token() -> None:
    """A tokenizer of a language model adds none of its own."""
    tokenizer = word_tokenizer()
    tokenizer.pad_token = tokenizer.eos_token
    rows = [{"text": " ", "label": "bad"}, {"text": "a film", "label": "good"}]
    examples = tokenized(SINGLE, rows, tokenizer)
    assert examples.encodings["input_ids"][0] == [tokenizer.pad_token_id]
    assert examples.encodings["attention_mask"][0] == [1]
    assert list(examples.lengths) == [1, 2]
