"""A long context read in overlapping windows, and the answer that all of them together give."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from core.compression.tasks.examples import Examples, examples_of

LONGEST_ANSWER = 30
"""Tokens of an answer, as the reference implementations bound it."""

NOT_READ = frozenset({"offset_mapping", "overflow_to_sample_mapping"})
"""What the tokenizer gives that no model reads."""

Span = tuple[int, int]
"""Characters of the context: from, up to."""
NOWHERE: Span = (-1, -1)
"""The span of a token that is not of the context."""


@dataclass(frozen=True)
class Question:
    question: str
    context: str
    answers: tuple[str, ...]
    starts: tuple[int, ...]
    """The character of the context at which each answer begins."""


def windows_of(
    questions: Sequence[Question], tokenizer: Any, max_length: int, doc_stride: int
) -> Examples:
    """Every question with as many windows of its context as it takes, in their order.

    Neighbours share `doc_stride` tokens, or as many as leave room for something new. Labels are the
    places of the first answer's first and last token, both 0 in a window that does not hold it.
    """
    columns: dict[str, list[list[int]]] = {}
    rows, spans, labels = [], [], []
    for row, question in enumerate(questions):
        encoded = _encode(question, tokenizer, max_length, doc_stride)
        for window in range(len(encoded["input_ids"])):
            for name in (name for name in encoded if name not in NOT_READ):
                columns.setdefault(name, []).append(encoded[name][window])
            rows.append(row)
            spans.append(_context_spans(encoded, window))
            labels.append(_places(question, spans[-1]))
    notes: dict[str, list[Any]] = {"question": [questions[row] for row in rows], "spans": spans}
    return examples_of(columns, torch.tensor(labels), tokenizer, np.array(rows), notes)


def _encode(question: Question, tokenizer: Any, max_length: int, doc_stride: int) -> Any:
    special = tokenizer.num_special_tokens_to_add(pair=True)
    asked = tokenizer(question.question, add_special_tokens=False)["input_ids"]
    longest = (max_length - special) // 2
    text = question.question
    if len(asked) > longest:
        text = tokenizer.decode(asked[:longest], skip_special_tokens=True)
        asked = tokenizer(text, add_special_tokens=False)["input_ids"]
    room = max_length - special - len(asked)
    return tokenizer(
        text,
        question.context,
        truncation="only_second",
        max_length=max_length,
        stride=min(doc_stride, room - 1),
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        return_attention_mask=True,
    )


def _context_spans(encoded: Any, window: int) -> list[Span]:
    parts = encoded.sequence_ids(window)
    offsets = encoded["offset_mapping"][window]
    return [
        (int(span[0]), int(span[1])) if part == 1 else NOWHERE
        for part, span in zip(parts, offsets, strict=True)
    ]


def _places(question: Question, spans: Sequence[Span]) -> Span:
    """The window's tokens that the answer begins and ends in; both 0 where it is not all there."""
    start, end = question.starts[0], question.starts[0] + len(question.answers[0])
    first = [place for place, span in enumerate(spans) if span[0] <= start < span[1]]
    last = [place for place, span in enumerate(spans) if span[0] < end <= span[1]]
    return (first[0], last[-1]) if first and last else (0, 0)


def best_answers(
    starts: NDArray[np.float64], ends: NDArray[np.float64], examples: Examples
) -> list[str]:
    """Each row's answer: the span of the context with the highest sum of logits over all of its
    windows, at most `LONGEST_ANSWER` tokens long."""
    best = np.full(examples.row_count, -np.inf)
    answers = [""] * examples.row_count
    for window, row in enumerate(examples.rows):
        spans = examples.notes["spans"][window]
        score, first, last = _best_span(starts[window], ends[window], spans)
        if score > best[row]:
            best[row] = score
            context = examples.notes["question"][window].context
            answers[row] = context[spans[first][0] : spans[last][1]]
    return answers


def _best_span(
    starts: NDArray[np.float64], ends: NDArray[np.float64], spans: Sequence[Span]
) -> tuple[float, int, int]:
    """Score, first and last token, the shortest where several are best."""
    places = np.array([place for place, span in enumerate(spans) if span != NOWHERE], dtype=int)
    best = (-np.inf, 0, 0)
    for longer in range(min(LONGEST_ANSWER, len(places))):
        scores = starts[places[: len(places) - longer]] + ends[places[longer:]]
        at = int(scores.argmax())
        if scores[at] > best[0]:
            best = (float(scores[at]), int(places[at]), int(places[at + longer]))
    return best
