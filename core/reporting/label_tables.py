"""What became of each label: how much of it is found, and how much of what is found is it."""

from collections.abc import Sequence
from dataclasses import dataclass

from core.recipe.events import LabelChange, LabelCounts
from core.reporting.numbers import grouped, metric_change, percent


@dataclass(frozen=True)
class LabelRow:
    label: str
    true: str
    """How often it was right to answer."""
    dense_recall: str
    recall: str
    recall_change: str
    """In points."""
    dense_precision: str
    precision: str
    precision_change: str


def label_rows(changes: Sequence[LabelChange]) -> tuple[LabelRow, ...]:
    return tuple(
        LabelRow(
            label=change.label,
            true=grouped(change.result.true),
            dense_recall=_shown(recall(change.dense)),
            recall=_shown(recall(change.result)),
            recall_change=_change(recall(change.dense), recall(change.result)),
            dense_precision=_shown(precision(change.dense)),
            precision=_shown(precision(change.result)),
            precision_change=_change(precision(change.dense), precision(change.result)),
        )
        for change in changes
    )


def recall(counts: LabelCounts) -> float | None:
    """None where the label was never right to answer."""
    return counts.right / counts.true if counts.true else None


def precision(counts: LabelCounts) -> float | None:
    """None where the label was never answered."""
    return counts.right / counts.answered if counts.answered else None


def _shown(share: float | None) -> str:
    return "" if share is None else percent(share)


def _change(before: float | None, after: float | None) -> str:
    return "" if before is None or after is None else metric_change("accuracy", after - before)
