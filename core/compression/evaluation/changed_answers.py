"""Row by row: where the result answers otherwise than the dense model does."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from core.compression.tasks.answers import Answers, Counts
from core.recipe.events import (
    AnswerChanges,
    AnswersCompared,
    ChangedAnswer,
    LabelChange,
    LabelCounts,
    Phase,
)

LONGEST_TEXT = 600
"""Characters that are kept of each text."""
NONE = Counts(0, 0, 0)


def compare_answers(
    dense: Answers, result: Answers, texts: Sequence[tuple[str, ...]], phase: Phase, most: int
) -> AnswersCompared:
    """At most `most` rows: first those whose error grew, by how much, then by how sure the result
    is; half are left to those whose error fell, if there are so many."""
    worse, better, other = changed_rows(dense, result)
    chosen = share_out((worse, better, other), most)
    return AnswersCompared(
        changes=AnswerChanges(
            phase=phase,
            rows=len(dense.given),
            worse=len(worse),
            better=len(better),
            other=len(other),
            error_unit=dense.error_unit,
            labels=tuple(_label_changes(dense, result)),
        ),
        examples=tuple(
            ChangedAnswer(
                row=int(row),
                kind=kind,
                texts=tuple(cut(text) for text in texts[row]),
                true=cut(dense.true[row]),
                dense=cut(dense.given[row]),
                result=cut(result.given[row]),
                dense_error=float(dense.errors[row]),
                result_error=float(result.errors[row]),
                dense_confidence=_at(dense.confidence, row),
                result_confidence=_at(result.confidence, row),
            )
            for kind, rows in zip(("worse", "better", "other"), chosen, strict=True)
            for row in rows
        ),
    )


def changed_rows(
    dense: Answers, result: Answers
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Rows that got worse, better, and neither, each with the most telling first."""
    growth = result.errors - dense.errors
    differs = np.array([a != b for a, b in zip(dense.given, result.given, strict=True)], dtype=bool)
    sure = np.zeros(len(growth)) if result.confidence is None else result.confidence
    order = np.lexsort((np.arange(len(growth)), -sure, -np.abs(growth)))
    return (
        order[growth[order] > 0],
        order[growth[order] < 0],
        order[(growth[order] == 0) & differs[order]],
    )


def share_out(groups: Sequence[NDArray[np.int64]], most: int) -> list[NDArray[np.int64]]:
    """The first group gets half, or what the others leave of `most`; so do the next in turn."""
    chosen = []
    for place, group in enumerate(groups):
        waiting = sum(len(later) for later in groups[place + 1 :])
        room = max(most - waiting, (most + 1) // 2) if waiting else most
        chosen.append(group[:room])
        most -= len(chosen[-1])
    return chosen


def cut(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 1]}…"


def _label_changes(dense: Answers, result: Answers) -> Iterator[LabelChange]:
    for label in dict.fromkeys([*dense.labels, *result.labels]):
        yield LabelChange(
            label=cut(label),
            dense=LabelCounts(**dense.labels.get(label, NONE)._asdict()),
            result=LabelCounts(**result.labels.get(label, NONE)._asdict()),
        )


def _at(values: NDArray[np.float64] | None, row: int) -> float | None:
    return None if values is None else round(float(values[row]), 4)
