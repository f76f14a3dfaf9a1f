"""Answers in words, and what is wrong with each of them."""

from pathlib import Path

import numpy as np
import pytest

from core.compression.metrics.entities import entities
from core.compression.tasks.answers import Counts, count_labels
from core.compression.tasks.registry import TASK_KINDS
from core.compression.tasks.tag_answers import entity_answers, word_answers
from core.recipe.task import QuestionAnswering, TextClassification, TokenClassification
from tests.compression.tasks.reading import DATASET, read, tokenized
from tests.compression.tasks.test_every_task import answered
from tests.compression.tasks.test_token_classification import pieces
from tests.compression.tasks.tiny_tasks import tiny_task
from tests.compression.tiny_models import tiny_tokenizer

TAGS = ("O", "B-PER", "I-PER", "B-LOC")
WORDS = ["Ada", "Byron", "saw", "Paris"]
TRUE = ["B-PER", "I-PER", "O", "B-LOC"]


def test_labels_are_counted_as_the_confusion_matrix_sums_up() -> None:
    generator = np.random.default_rng(3)
    names = ("a", "b", "c", "d")
    true, given = ([names[n] for n in generator.integers(0, 3, 50)] for _ in range(2))
    counted = count_labels(names, true, given)
    pairs = list(zip(true, given, strict=True))
    expected = {
        name: Counts(sum(t == g == name for t, g in pairs), given.count(name), true.count(name))
        for name in names[:3]
    }
    assert counted == expected
    assert list(counted) == ["a", "b", "c"]


def test_no_pairs_have_no_labels() -> None:
    assert count_labels(("a", "b"), [], []) == {}


def test_entities_are_told_in_words() -> None:
    given = ["B-PER", "O", "O", "B-LOC"]
    answers = entity_answers([WORDS], [TRUE], [given], TAGS)
    assert answers.true == ["Ada Byron (PER), Paris (LOC)"]
    assert answers.given == ["Ada (PER), Paris (LOC)"]
    assert answers.errors.tolist() == [2]
    assert answers.labels == {"PER": Counts(0, 1, 1), "LOC": Counts(1, 1, 1)}


def test_a_row_without_entities_says_so() -> None:
    answers = entity_answers([WORDS], [TRUE], [["O"] * 4], TAGS)
    assert answers.given == ["none"]
    assert answers.labels["LOC"] == Counts(0, 0, 1)
    assert len(entities(TRUE)) == answers.errors[0]


def test_tags_of_no_entities_are_told_word_by_word() -> None:
    answers = word_answers([["a", "b"]], [["N", "V"]], [["N", "N"]], ("N", "V"))
    assert (answers.given, answers.true) == (["a/N b/N"], ["a/N b/V"])
    assert answers.errors.tolist() == [1]
    assert answers.labels == {"N": Counts(1, 2, 1), "V": Counts(0, 0, 1)}


def test_words_that_were_cut_off_or_have_no_token_are_not_shown() -> None:
    config = TokenClassification(dataset=DATASET, max_length=4)
    row = {"tokens": ["aa", " ", "aa", "b"], "tags": ["B-X", "O", "O", "O"]}
    examples = tokenized(config, [row], pieces())
    assert examples.notes["words"] == [["aa", "aa"]]


def test_the_best_label_with_its_probability(tmp_path: Path) -> None:
    config = TextClassification(dataset=DATASET)
    rows = [{"text": "a", "label": "bad"}, {"text": "b", "label": "good"}]
    examples = tokenized(config, rows, tiny_tokenizer(tmp_path))
    logits = np.log([[0.8, 0.2], [0.6, 0.4]])
    found = TASK_KINDS["text-classification"](config).answers(
        {"logits": logits}, examples, ("bad", "good")
    )
    assert found is not None
    assert (found.given, found.true) == (["bad", "bad"], ["bad", "good"])
    assert found.errors.tolist() == [0, 1]
    assert found.confidence == pytest.approx([0.8, 0.6])


def test_a_question_shows_its_context() -> None:
    config = QuestionAnswering(dataset=DATASET)
    asked = {
        "question": "Who?",
        "context": "Ada did.",
        "answers": {"text": ["Ada"], "answer_start": [0]},
    }
    data = read(config, [asked])
    kind = TASK_KINDS["question-answering"](config)
    assert kind.shown(data, np.array([0])) == [("Who?", "Ada did.")]


@pytest.mark.parametrize(
    ("task", "metric"),
    [
        ("text-classification", "accuracy"),
        ("question-answering", "exact_match"),
        ("token-classification", None),
        ("regression", None),
    ],
)
def test_errors_agree_with_the_metric(task: str, metric: str | None, tmp_path: Path) -> None:
    tiny = tiny_task(task, tmp_path, rows=12)
    outputs = answered(tiny, 64)
    names = tuple(f"LABEL_{n}" for n in range(3))
    if task == "token-classification":
        names = tiny.examples.notes["names"][0]
    found = tiny.kind.answers(outputs, tiny.examples, names)
    assert found is not None
    assert len(found.given) == len(found.true) == len(found.errors) == tiny.examples.row_count
    metrics = {m.name: m.value for m in tiny.kind.metrics(outputs, tiny.examples, None)}
    if metric is not None:
        assert 1 - found.errors.mean() == pytest.approx(metrics[metric])
    if task == "regression":
        assert (found.errors**2).mean() == pytest.approx(metrics["mse"])
    if task == "token-classification":
        right, given, true = (sum(c[i] for c in found.labels.values()) for i in range(3))
        assert metrics["f1"] == pytest.approx(2 * right / (given + true) if given + true else 0)


@pytest.mark.parametrize("task", ["causal-lm", "embedding"])
def test_rows_without_one_answer_have_none(task: str, tmp_path: Path) -> None:
    tiny = tiny_task(task, tmp_path)
    assert tiny.kind.answers(answered(tiny, 64), tiny.examples, ()) is None
