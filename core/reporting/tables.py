"""The rows of a report's tables, as text: the page and the model card show the same numbers."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from core.planning.plan import Candidate, Plan
from core.recipe.events import MetricMeasured
from core.reporting.intervals import paired_change
from core.reporting.numbers import (
    byte_size,
    change_unit,
    grouped,
    higher_is_better,
    metric_change,
    metric_heading,
    metric_title,
    metric_unit,
    metric_value,
    percent,
    typeset,
)
from core.reporting.result import PHASE_TITLES, Result

SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class SizeRow:
    label: str
    before: str
    after: str
    kept: str


@dataclass(frozen=True)
class FactRow:
    label: str
    text: str


@dataclass(frozen=True)
class MetricRow:
    metric: str
    phase: str
    value: str
    interval: str
    change: str
    """Against dense, on the same rows; empty for dense itself."""
    change_interval: str
    n: str


@dataclass(frozen=True)
class CandidateRow:
    """Ranks that were measured on the validation split in search of a plan."""

    kept: str
    predicted: str
    measured: str
    drop: str
    meets: str


def size_rows(result: Result) -> tuple[SizeRow, ...]:
    """Parameters and bytes, of the whole model and of its factorizable weights."""
    return tuple(
        SizeRow(label, write(size.before), write(size.after), percent(size.kept))
        for label, size, write in (
            ("Parameters, whole model", result.params.model, grouped),
            ("Parameters, factorizable weights", result.params.targets, grouped),
            ("Bytes, whole model", result.bytes.model, byte_size),
            ("Bytes, factorizable weights", result.bytes.targets, byte_size),
        )
    )


def metric_rows(result: Result) -> tuple[MetricRow, ...]:
    """Every metric in every phase, the headline's metric first."""
    return tuple(_metric_row(m) for name in result.metric_names for m in result.measured(name))


def candidate_rows(plan: Plan) -> tuple[CandidateRow, ...]:
    """What was measured in search of the plan, in its order."""
    return tuple(
        CandidateRow(
            kept=percent(each.keep_ratio),
            predicted=increase(each.predicted_loss_increase),
            measured=increase(each.measured_loss_increase),
            drop="" if each.metric is None or each.drop is None else drop_in_words(each),
            meets={None: "", True: "yes", False: "no"}[each.meets],
        )
        for each in plan.candidates
    )


def drop_in_words(candidate: Candidate) -> str:
    """accuracy −0.8 points [−1.9 … +0.3]"""
    name, drop, interval = candidate.metric or "", candidate.drop or 0.0, candidate.drop_interval
    sign = -1 if higher_is_better(name) else 1
    ends = sorted((sign * interval[0], sign * interval[1])) if interval else ()
    change = partial(metric_change, name)
    words = (metric_title(name), change(sign * drop), change_unit(name))
    shown = f" [{_interval((ends[0], ends[1]), change)}]" if ends else ""
    return " ".join(word for word in words if word) + shown


def increase(loss: float | None) -> str:
    """Of the mean example loss; four decimals."""
    return "" if loss is None else typeset(f"{loss:+.4f}")


def factor_in_words(factor: float) -> str:
    """3.4; 1,250"""
    return f"{factor:.1f}" if factor < 10 else grouped(round(factor))


def fact_rows(facts: Mapping[str, Any]) -> tuple[FactRow, ...]:
    """What a run was made of, a line each: model_digest → Model digest."""
    return tuple(
        FactRow(name.replace("_", " ").capitalize(), fact_in_words(fact))
        for name, fact in facts.items()
    )


def fact_in_words(fact: Any) -> str:
    """Nested facts in one line; a SHA-256 by its first twelve digits."""
    if isinstance(fact, Mapping):
        return ", ".join(f"{name} {fact_in_words(inner)}" for name, inner in fact.items())
    if isinstance(fact, float):
        return f"{fact:.6g}"
    return fact[:12] if isinstance(fact, str) and SHA256.fullmatch(fact) else str(fact)


def change_in_words(metric: MetricMeasured) -> str:
    """−0.8 points [−1.9 … +0.3]"""
    row = _metric_row(metric)
    unit = change_unit(metric.name)
    return f"{row.change}{' ' if unit else ''}{unit} [{row.change_interval}]" if row.change else ""


def value_in_words(metric: MetricMeasured) -> str:
    """85.9 %"""
    return f"{metric_value(metric.name, metric.value)} {metric_unit(metric.name)}".strip()


def _metric_row(metric: MetricMeasured) -> MetricRow:
    change = paired_change(metric)
    return MetricRow(
        metric=metric_heading(metric.name),
        phase=PHASE_TITLES[metric.phase],
        value=metric_value(metric.name, metric.value),
        interval=_interval(metric.interval, partial(metric_value, metric.name)),
        change=metric_change(metric.name, change.value) if change else "",
        change_interval=(
            _interval(change.interval, partial(metric_change, metric.name)) if change else ""
        ),
        n=grouped(metric.n),
    )


def _interval(interval: tuple[float, float], write: Callable[[float], str]) -> str:
    return f"{write(interval[0])} … {write(interval[1])}"
