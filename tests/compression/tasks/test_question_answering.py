from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.compression.tasks.registry import task_kind
from core.compression.tasks.windows import NOWHERE, best_answers
from core.errors import DataError
from core.recipe.task import QuestionAnswering
from tests.compression.tasks.reading import DATASET, read, tokenized
from tests.compression.tasks.tiny_tasks import tiny_task
from tests.compression.tiny_models import WORDS, questions, tiny_tokenizer

CONFIG = QuestionAnswering(dataset=DATASET, max_length=32, doc_stride=8)
ROW = {
    "question": "was it",
    "context": "the film was great",
    "answers": {"text": ["great", "was great"], "answer_start": [13, 9]},
}


@pytest.mark.parametrize(
    ("change", "field", "said"),
    [
        ({"answers": {"text": ["great"], "answer_start": [12]}}, "answers", "does not point"),
        (
            {"answers": {"text": ["great"], "answer_start": [-5]}},
            "answers",
            "does not point|no ans",
        ),
        ({"answers": {"text": [], "answer_start": []}}, "answers", "no answer"),
        ({"answers": {"text": [""], "answer_start": [0]}}, "answers", "no answer"),
        ({"answers": {"text": ["great"], "answer_start": []}}, "answers", "a start for each"),
        ({"answers": {"text": "great", "answer_start": 13}}, "answers", "a start for each"),
        ({"answers": {"text": ["great"], "answer_start": ["13"]}}, "answers", "a start for each"),
        ({"answers": ["great"]}, "answers", "answer_start"),
        ({"question": 3}, "question", "not a text"),
        ({"context": ""}, "context", "empty"),
    ],
)
def test_unusable_rows_are_refused_with_their_field(
    change: dict[str, Any], field: str, said: str
) -> None:
    with pytest.raises(DataError, match=f"Row 2.*({said})") as refused:
        read(CONFIG, [ROW, {**ROW, **change}])
    assert refused.value.pointer == f"/task/{field}"


def test_a_short_context_is_one_window_with_its_answers_place(tmp_path: Path) -> None:
    examples = tokenized(CONFIG, [ROW], tiny_tokenizer(tmp_path))
    ids = examples.encodings["input_ids"][0]
    tokens = [WORDS[n] for n in ids]
    assert tokens == ["[CLS]", "was", "it", "[SEP]", "the", "film", "was", "great", "[SEP]"]
    assert isinstance(examples.labels, torch.Tensor)
    assert examples.labels.tolist() == [[7, 7]]
    spans = examples.notes["spans"][0]
    assert spans[4:8] == [(0, 3), (4, 8), (9, 12), (13, 18)]
    assert set(spans[:4]) | {spans[8]} == {NOWHERE}


def test_a_long_context_is_read_in_windows_that_overlap(tmp_path: Path) -> None:
    examples = tokenized(CONFIG, questions(5), tiny_tokenizer(tmp_path))
    assert list(examples.rows) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert examples.lengths.max() <= 32
    for row in range(5):
        first, second = (examples.notes["spans"][2 * row + n] for n in (0, 1))
        assert len(set(first) & set(second) - {NOWHERE}) == 8
        context = examples.notes["question"][2 * row].context
        assert len(set(first) | set(second) - {NOWHERE}) >= len(context.split())


def test_labels_point_at_the_answer_or_at_the_first_token(tmp_path: Path) -> None:
    examples = tokenized(CONFIG, questions(20), tiny_tokenizer(tmp_path))
    holding = 0
    for window, (first, last) in enumerate(np.asarray(examples.labels)):
        question, spans = examples.notes["question"][window], examples.notes["spans"][window]
        if (first, last) == (0, 0):
            starts = {span[0] for span in spans if span != NOWHERE}
            assert question.starts[0] not in starts
            continue
        holding += 1
        assert question.context[spans[first][0] : spans[last][1]] == question.answers[0]
    assert holding >= 20


def test_the_windows_of_calibration_rows_come_along(tmp_path: Path) -> None:
    examples = tokenized(CONFIG, questions(5), tiny_tokenizer(tmp_path))
    assert list(examples.head(2).rows) == [0, 0, 1, 1]
    assert examples.head(2).row_count == 2


def test_a_question_longer_than_half_the_window_leaves_room_for_the_context(
    tmp_path: Path,
) -> None:
    row = {**ROW, "question": " ".join(["was it"] * 20)}
    examples = tokenized(CONFIG, [row], tiny_tokenizer(tmp_path))
    assert examples.lengths.max() <= 32
    assert np.asarray(examples.labels).max() > 0


def logits_for(length: int, **places: float) -> np.ndarray:
    logits = np.zeros((1, length))
    for place, value in places.items():
        logits[0, int(place[1:])] = value
    return logits


def test_the_best_span_lies_in_the_context_and_runs_forward(tmp_path: Path) -> None:
    examples = tokenized(CONFIG, [ROW], tiny_tokenizer(tmp_path))
    ends = logits_for(9, _5=4, _8=9, _4=6)
    assert best_answers(logits_for(9, _0=9, _4=5, _6=4), ends, examples) == ["the"]
    assert best_answers(logits_for(9, _6=5), logits_for(9, _7=3), examples) == ["was great"]


def test_the_best_window_answers(tmp_path: Path) -> None:
    rows = questions(1)
    examples = tokenized(CONFIG, rows, tiny_tokenizer(tmp_path))
    places, windows = np.asarray(examples.labels), len(examples)
    starts, ends = np.zeros((2, windows, 32))
    for window in range(windows):
        starts[window, places[window, 0]] = 5
        ends[window, places[window, 1]] = 5
    outputs = {"start": starts, "end": ends}
    f1, exact, loss = task_kind(CONFIG).metrics(outputs, examples, None)
    assert (f1.value, exact.value) == (1, 1)
    assert loss.value < 2 * np.log(32)


def test_scores_are_the_best_over_the_right_answers(tmp_path: Path) -> None:
    examples = tokenized(CONFIG, [ROW], tiny_tokenizer(tmp_path))
    outputs = {"start": logits_for(9, _6=5), "end": logits_for(9, _7=5)}
    f1, exact, _ = task_kind(CONFIG).metrics(outputs, examples, None)
    assert (f1.value, exact.value) == (1, 1)
    assert task_kind(CONFIG).baseline(examples) == pytest.approx(2 * 2 / 5)


def test_padding_takes_no_part_in_the_loss(tmp_path: Path) -> None:
    tiny = tiny_task("question-answering", tmp_path)
    assert tiny.kind.headline == "f1"
    assert tiny.examples.lengths.min() < tiny.examples.lengths.max()
