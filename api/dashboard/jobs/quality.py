"""How good a job's result is: metrics, every label, and the rows that are answered otherwise."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from core.database.tables import Job, JobChangedAnswer
from core.recipe.events import AnswerChanges, ChangedAnswer, LabelChange
from core.reporting.intervals import changes_svg, intervals_svg
from core.reporting.label_tables import LabelRow, label_rows
from core.reporting.numbers import grouped, percent
from core.reporting.result import Result
from core.reporting.tables import MetricRow, metric_rows

Kind = Literal["worse", "better", "other"]
KINDS: dict[Kind, str] = {
    "worse": "got worse",
    "better": "got better",
    "other": "changed, as wrong",
}


@dataclass(frozen=True)
class AnswerLine:
    row: str
    texts: Sequence[str]
    true: str
    dense: str
    result: str
    dense_sure: str
    result_sure: str


@dataclass(frozen=True)
class KindView:
    """Rows that changed in one way: how many, and those that are kept to be read."""

    title: str
    count: str
    share: str
    answers: Sequence[AnswerLine]


@dataclass(frozen=True)
class QualityPage:
    metrics: Sequence[MetricRow]
    split: str
    rows: str
    confidence: str
    intervals: Markup
    changes: Markup | None
    kinds: Sequence[KindView]
    """Empty where rows have no one answer."""
    has_answers: bool
    labels: Sequence[LabelRow]


def quality_page(job: Job, changed: Sequence[JobChangedAnswer]) -> QualityPage | None:
    """None while there is no result."""
    if not job.result:
        return None
    result = Result.model_validate(job.result)
    headline = result.measured(result.metric_names[0])
    answers = [ChangedAnswer.model_validate(row.answer) for row in changed]
    return QualityPage(
        metrics=metric_rows(result),
        split=result.split,
        rows=grouped(headline[0].n),
        confidence=percent(job.recipe["evaluation"]["confidence"], decimals=0),
        intervals=Markup(intervals_svg(headline)),
        changes=Markup(changes_svg(headline)) if len(headline) > 1 else None,
        kinds=_kinds(result.answers, answers) if result.answers else (),
        has_answers=bool(answers),
        labels=label_rows(_labels(result.answers)),
    )


def _labels(answers: AnswerChanges | None) -> Sequence[LabelChange]:
    return () if answers is None else answers.labels


def _kinds(changes: AnswerChanges, answers: Sequence[ChangedAnswer]) -> list[KindView]:
    counts: dict[Kind, int] = {
        "worse": changes.worse,
        "better": changes.better,
        "other": changes.other,
    }
    return [
        KindView(
            title=KINDS[kind],
            count=grouped(count),
            share=percent(count / changes.rows),
            answers=[_answer(answer) for answer in answers if answer.kind == kind],
        )
        for kind, count in counts.items()
    ]


def _answer(answer: ChangedAnswer) -> AnswerLine:
    return AnswerLine(
        row=grouped(answer.row),
        texts=answer.texts,
        true=answer.true,
        dense=answer.dense,
        result=answer.result,
        dense_sure=_sure(answer.dense_confidence),
        result_sure=_sure(answer.result_confidence),
    )


def _sure(confidence: float | None) -> str:
    return "" if confidence is None else percent(confidence, decimals=0)
