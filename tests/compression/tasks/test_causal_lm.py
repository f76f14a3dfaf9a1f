from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from core.compression.tasks.batches import make_batch
from core.compression.tasks.registry import task_kind
from core.errors import DataError
from core.recipe.task import CausalLm
from tests.compression.tasks.reading import DATASET, tokenized
from tests.compression.tasks.tiny_tasks import tiny_task
from tests.compression.tiny_models import WORDS, word_tokenizer

CONFIG = CausalLm(dataset=DATASET, max_length=8)
ROWS = [{"text": text} for text in ("the film was great", "", "it was a car", "the film")]


def words(ids: list[int]) -> str:
    return " ".join(WORDS[n] for n in ids)


def test_texts_are_joined_by_their_end_and_cut_into_blocks() -> None:
    examples = tokenized(CONFIG, ROWS, word_tokenizer())
    assert [words(ids) for ids in examples.encodings["input_ids"]] == [
        "the film was great [SEP] it was a",
        "car [SEP] the film [SEP]",
    ]
    assert examples.labels == examples.encodings["input_ids"]
    assert examples.row_count == 2


def test_a_last_block_of_one_token_is_left_out() -> None:
    rows = [{"text": "the film was great it was a car"}]
    assert len(tokenized(CONFIG, rows, word_tokenizer())) == 1


def test_a_split_of_less_than_two_tokens_is_refused() -> None:
    with pytest.raises(DataError, match="two tokens") as refused:
        tokenized(CONFIG, [{"text": " "}], word_tokenizer())
    assert refused.value.pointer == "/task/text"


def test_a_block_is_scored_on_every_token_but_its_first(tmp_path: Path) -> None:
    tiny = tiny_task("causal-lm", tmp_path)
    batch = make_batch(tiny.examples, np.array([0]), "cpu")
    answers = tiny.model(**batch.inputs)
    ids = batch.inputs["input_ids"][0]
    expected = cross_entropy(answers.logits[0, :-1], ids[1:], reduction="sum")
    torch.testing.assert_close(tiny.kind.losses(answers, batch)[0], expected)
    assert int(tiny.kind.scored(batch)[0]) == len(ids) - 1
    ours = tiny.model(**batch.inputs, labels=batch.inputs["input_ids"]).loss
    torch.testing.assert_close(tiny.kind.training_losses(tiny.model, batch)[0].float(), ours)


def test_perplexity_is_over_all_tokens(tmp_path: Path) -> None:
    examples = tokenized(CONFIG, ROWS, word_tokenizer())
    outputs = {"losses": np.array([7.0, 4.0]), "tokens": np.array([7, 4]), "hits": np.array([3, 2])}
    perplexity, loss, accuracy = task_kind(CONFIG).metrics(outputs, examples, None)
    assert perplexity.value == pytest.approx(np.e)
    assert loss.value == pytest.approx(1)
    assert accuracy.value == pytest.approx(5 / 11)
    once_and_never = np.array([[2, 0]], dtype=np.float32)
    assert perplexity.of(once_and_never) == pytest.approx([np.e])
    assert task_kind(CONFIG).baseline(examples) == len(WORDS)
