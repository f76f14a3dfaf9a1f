from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import Whitespace
from transformers import PreTrainedTokenizerFast

from core.compression.tasks.batches import make_batch
from core.compression.tasks.examples import UNSCORED
from core.compression.tasks.registry import task_kind
from core.errors import DataError, ModelError
from core.recipe.task import TokenClassification
from tests.compression.tasks.reading import DATASET, read, tokenized
from tests.compression.tasks.tiny_tasks import tiny_task

CONFIG = TokenClassification(dataset=DATASET, max_length=8)
NUMBERED = TokenClassification(dataset=DATASET, max_length=8, tag_names=("O", "B-X", "I-X"))
ROW = {"tokens": ["aa", "b", "aaa"], "tags": ["B-X", "O", "I-X"]}


def pieces() -> PreTrainedTokenizerFast:
    """`aa` is a ##a: words of several tokens."""
    vocabulary = {"[UNK]": 0, "[PAD]": 1, "a": 2, "##a": 3, "b": 4}
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]")


def test_a_words_first_token_is_scored() -> None:
    examples = tokenized(CONFIG, [ROW], pieces())
    assert read(CONFIG, [ROW]).label_names == ("B-X", "I-X", "O")
    assert examples.labels == [[0, UNSCORED, 2, 1, UNSCORED, UNSCORED]]


def test_words_cut_off_are_not_scored() -> None:
    row = {"tokens": ["b"] * 12, "tags": ["O", "B-X"] * 6}
    (labels,) = tokenized(CONFIG, [row], pieces()).labels
    assert len(labels) == 8


@pytest.mark.parametrize("tags", [[1, 0, 2], ["B-X", "O", "I-X"]])
def test_tags_may_be_numbers_of_tag_names(tags: list[Any]) -> None:
    data = read(NUMBERED, [{**ROW, "tags": tags}])
    assert data.columns["tags"] == [["B-X", "O", "I-X"]]
    assert data.label_names == ("O", "B-X", "I-X")


@pytest.mark.parametrize(
    ("change", "field", "said"),
    [
        ({"tags": ["O", "O"]}, "tags", "2 tags for 3 words"),
        ({"tags": ["O", "O", "B-Z"]}, "tags", "'B-Z' is not in tag_names"),
        ({"tags": [0, 0, 3]}, "tags", "3 is not in tag_names"),
        ({"tags": [0, 0, -1]}, "tags", "-1 is not in tag_names"),
        ({"tags": [0, 0, None]}, "tags", "None"),
        ({"tags": [0, 0, 1.0]}, "tags", "neither"),
        ({"tags": "O O O"}, "tags", "not a list"),
        ({"tokens": "a b c"}, "tokens", "not a list"),
        ({"tokens": [], "tags": []}, "tokens", "not a list"),
        ({"tokens": [1, 2, 3]}, "tokens", "not a list"),
    ],
)
def test_unusable_rows_are_refused_with_their_field(
    change: dict[str, Any], field: str, said: str
) -> None:
    with pytest.raises(DataError, match=f"Row 2.*{said}") as refused:
        read(NUMBERED, [ROW, {**ROW, **change}])
    assert refused.value.pointer == f"/task/{field}"


def test_a_single_tag_is_refused() -> None:
    with pytest.raises(DataError) as refused:
        read(CONFIG, [{"tokens": ["a"], "tags": ["O"]}])
    assert refused.value.pointer == "/task/tags"


def test_a_tokenizer_that_knows_no_words_is_refused() -> None:
    slow = SimpleNamespace(is_fast=False)
    with pytest.raises(ModelError, match="which word"):
        tokenized(CONFIG, [ROW], slow)


def test_a_head_is_known_by_its_tags_or_by_their_numbers() -> None:
    kind, data = task_kind(NUMBERED), read(NUMBERED, [ROW])
    assert kind.labels_of_head(("I-X", "B-X", "O"), data) == ("I-X", "B-X", "O")
    assert kind.labels_of_head(("LABEL_0", "LABEL_1", "LABEL_2"), data) == data.label_names
    assert kind.labels_of_head(("LABEL_0", "LABEL_1"), data) is None
    assert kind.labels_of_head(("O", "B-Y", "I-Y"), data) is None


def test_metrics_count_whole_entities() -> None:
    rows = [ROW, {"tokens": ["b", "b"], "tags": ["B-X", "I-X"]}]
    examples = tokenized(NUMBERED, rows, pieces())
    answers = np.zeros((2, 3, 3))
    for row, tags in enumerate(([1, 0, 2], [1, 0])):
        answers[row, np.arange(len(tags)), tags] = 5
    found = task_kind(NUMBERED).metrics({"logits": answers}, examples, None)
    values = {metric.name: metric.value for metric in found}
    assert values["f1"] == pytest.approx(2 * 2 / (3 + 3))
    assert values["precision"] == values["recall"] == pytest.approx(2 / 3)
    assert values["token_accuracy"] == pytest.approx(4 / 5)


def test_other_tags_than_iob_are_scored_by_word() -> None:
    rows = [{"tokens": ["a", "b", "b"], "tags": ["DT", "NN", "NN"]}]
    kind, examples = task_kind(CONFIG), tokenized(CONFIG, rows, pieces())
    names = [m.name for m in kind.metrics({"logits": np.zeros((1, 3, 2))}, examples, None)]
    assert names == ["token_accuracy", "loss"]
    assert kind.baseline(examples) == pytest.approx(2 / 3)


def test_sampled_tags_are_unbiased(tmp_path: Path) -> None:
    """The mean squared gradient at a word's logits is Σ_y p_y (p − e_y)², as for one label."""
    tiny = tiny_task("token-classification", tmp_path)
    batch = make_batch(tiny.examples, np.array([0]), "cpu")
    logits = torch.randn(1, batch.labels.shape[1], 3, dtype=torch.float64, requires_grad=True)
    generator, total = torch.Generator().manual_seed(0), torch.zeros_like(logits)
    for _ in range(4000):
        losses = tiny.kind.sampled_losses(SimpleNamespace(logits=logits), batch, generator)
        total += torch.autograd.grad(losses.sum(), logits)[0].square()
    p = logits.detach().softmax(-1)
    expected = sum(p[..., [y]] * (p - torch.eye(3)[y]).square() for y in range(3))
    expected = expected * (batch.labels != UNSCORED)[..., None]
    torch.testing.assert_close(total / 4000, expected, atol=0.02, rtol=0.1)
