"""Question answering: the answer to a question is a span of its context.

Loss: cross-entropy of the span's first token plus that of its last, over a window's real tokens. A
context that is longer than max_length is read in overlapping windows, each an example of its own;
in one that does not hold the answer, the first token ([CLS]) stands for it. Metrics: F1 and exact
match of the best span over all windows of a question, normalized as SQuAD does; loss and KL per
window. A row is a question; its windows stay together.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from core.compression.metrics.answers import exact_match, word_f1
from core.compression.metrics.classification import divergences, losses
from core.compression.metrics.metric import Metric, Values, mean, of_sums, ratio
from core.compression.tasks.answers import Answers
from core.compression.tasks.batches import Batch
from core.compression.tasks.data import Data
from core.compression.tasks.examples import Examples
from core.compression.tasks.fisher import sampled_labels
from core.compression.tasks.kind import Outputs, TaskKind, tempered_divergence
from core.compression.tasks.rows import SourceRow
from core.compression.tasks.windows import Question, best_answers, windows_of
from core.errors import DataError, ModelError
from core.recipe.task import QuestionAnswering

SIDES = ("start", "end")


class QuestionAnsweringKind(TaskKind[QuestionAnswering]):
    auto_class = QuestionAnswering.auto_class
    trivial_answer = "the whole context for every question"

    def read(self, rows: Iterable[SourceRow]) -> Data:
        found = list(rows)
        if not found:
            raise DataError("The dataset holds no rows.", pointer="/task/dataset")
        questions = [self._question(row) for row in found]
        split_of = np.array([row.split for row in found], dtype=str)
        return Data({"questions": questions}, split_of, ("LABEL_0", "LABEL_1"))

    def _question(self, row: SourceRow) -> Question:
        question = row.text(self.config.question, "question")
        context = row.text(self.config.context, "context")
        answers = row.cell(self.config.answers, "answers")
        texts, starts = self._spans(row, answers)
        for text, start in zip(texts, starts, strict=True):
            if context[start : start + len(text)] != text:
                row.refuse(
                    "answers",
                    f"answer_start {start} does not point at {text[:40]!r}",
                    hint="It counts characters of the context from 0.",
                )
        return Question(question, context, tuple(texts), tuple(starts))

    def _spans(self, row: SourceRow, answers: Any) -> tuple[list[str], list[int]]:
        column = self.config.answers
        if not isinstance(answers, dict) or not {"text", "answer_start"} <= answers.keys():
            row.refuse("answers", f'{column!r} is not {{"text": […], "answer_start": […]}}')
        texts, starts = answers["text"], answers["answer_start"]
        if not (_all_are(str, texts) and _all_are(int, starts) and len(texts) == len(starts)):
            row.refuse("answers", f"{column!r} holds no list of texts with a start for each")
        if not texts or not all(texts) or min(starts) < 0:
            row.refuse(
                "answers",
                "the question has no answer",
                hint="Leave such questions out: every answer must be a span of its context.",
            )
        return texts, starts

    def tokenize(
        self, data: Data, rows: NDArray[np.int64], label_names: tuple[str, ...], tokenizer: Any
    ) -> Examples:
        if not tokenizer.is_fast:
            raise ModelError(
                "The tokenizer cannot tell where a token stands in its text.",
                hint="Save a fast tokenizer (tokenizer.json) beside the model.",
                pointer="/model",
            )
        questions = data.of("questions", rows)
        return windows_of(questions, tokenizer, self.config.max_length, self.config.doc_stride)

    def losses(self, answers: Any, batch: Batch) -> Tensor:
        return _both(
            F.cross_entropy(logits, batch.labels[:, side], reduction="none")
            for side, logits in enumerate(_logits(answers, batch))
        )

    def scored(self, batch: Batch) -> Tensor:
        return torch.full((len(batch),), len(SIDES), device=batch.mask.device)

    def sampled_losses(self, answers: Any, batch: Batch, generator: torch.Generator) -> Tensor:
        return _both(
            F.cross_entropy(logits, sampled_labels(logits, generator), reduction="none")
            for logits in _logits(answers, batch)
        )

    def distances(self, taught: Any, student: Any, batch: Batch, temperature: float) -> Tensor:
        pairs = zip(_logits(taught, batch), _logits(student, batch), strict=True)
        return _both(tempered_divergence(theirs, ours, temperature) for theirs, ours in pairs)

    @property
    def headline(self) -> str:
        return "f1"

    def outputs(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        return dict(zip(SIDES, _logits(model(**batch.inputs), batch), strict=True))

    def metrics(
        self, outputs: Outputs, examples: Examples, dense: Outputs | None
    ) -> tuple[Metric, ...]:
        answers = best_answers(outputs["start"], outputs["end"], examples)
        found = [
            *_answer_metrics(answers, examples),
            _per_window("loss", _window_losses(outputs, examples), examples),
        ]
        if dense is not None:
            far = [_window_divergence(dense, outputs, examples, w) for w in range(len(examples))]
            found.append(_per_window("kl", np.array(far), examples))
        return tuple(found)

    def answers(
        self, outputs: Outputs, examples: Examples, label_names: tuple[str, ...]
    ) -> Answers:
        given = best_answers(outputs["start"], outputs["end"], examples)
        gold = [question.answers for question in questions_of(examples)]
        pairs = zip(given, gold, strict=True)
        errors = np.array([1 - exact_match(answer, right) for answer, right in pairs])
        return Answers(given, [right[0] for right in gold], errors, "answer")

    def shown(self, data: Data, rows: NDArray[np.int64]) -> list[tuple[str, ...]]:
        return [(asked.question, asked.context) for asked in data.of("questions", rows)]

    def baseline(self, examples: Examples) -> float:
        contexts = [question.context for question in questions_of(examples)]
        return _answer_metrics(contexts, examples)[0].value


def questions_of(examples: Examples) -> list[Question]:
    """One for each row."""
    first = np.searchsorted(examples.rows, np.arange(examples.row_count))
    return [examples.notes["question"][window] for window in first]


def _answer_metrics(answers: list[str], examples: Examples) -> list[Metric]:
    pairs = list(zip(answers, (q.answers for q in questions_of(examples)), strict=True))
    return [
        mean("f1", np.array([word_f1(answer, gold) for answer, gold in pairs])),
        mean("exact_match", np.array([exact_match(answer, gold) for answer, gold in pairs])),
    ]


def _logits(answers: Any, batch: Batch) -> tuple[Tensor, Tensor]:
    """Of the first and of the last token, as good as −∞ at padding: [b, tokens] each."""
    padding = batch.mask == 0
    lowest = torch.finfo(answers.start_logits.dtype).min / 2
    return (
        answers.start_logits.masked_fill(padding, lowest),
        answers.end_logits.masked_fill(padding, lowest),
    )


def _both(sides: Iterable[Tensor]) -> Tensor:
    start, end = sides
    return start + end


def _window_losses(outputs: Outputs, examples: Examples) -> Values:
    labels = np.asarray(examples.labels)
    return np.array(
        [
            sum(
                float(losses(outputs[name][window, None, :length], labels[window, [side]])[0])
                for side, name in enumerate(SIDES)
            )
            for window, length in enumerate(examples.lengths)
        ]
    )


def _window_divergence(dense: Outputs, outputs: Outputs, examples: Examples, window: int) -> float:
    length = examples.lengths[window]
    return sum(
        float(divergences(dense[name][window, :length], outputs[name][window, :length]))
        for name in SIDES
    )


def _per_window(name: str, values: Values, examples: Examples) -> Metric:
    """The mean over windows, resampled by question."""
    count = examples.row_count
    sums = np.bincount(examples.rows, weights=values, minlength=count)
    windows = np.bincount(examples.rows, minlength=count)
    return of_sums(name, np.stack([sums, windows], axis=1), lambda s: ratio(s[..., 0], s[..., 1]))


def _all_are(kind: type, values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is kind for value in values)
