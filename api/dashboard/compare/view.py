"""The comparison's page: its numbers as text, in columns of one job each."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from api.comparisons.schemas import Comparison, MetricComparison
from api.dashboard import words
from core.reporting.layer_names import layer_titles
from core.reporting.numbers import byte_size, compact, metric_heading, metric_value, percent
from core.reporting.result import BeforeAfter


@dataclass(frozen=True)
class Row:
    title: str
    cells: Sequence[str]
    notes: Sequence[str] = ()
    """Beside each cell, quietly."""


@dataclass(frozen=True)
class ComparePage:
    heads: Sequence[tuple[str, str, str]]
    """Name, address and status of each job."""
    recipe: Sequence[Row]
    results: Sequence[Row]
    ranks: Sequence[Row]
    same_rows: bool
    are_measured: bool


def compare_page(found: Comparison) -> ComparePage:
    titles = layer_titles(each.layer for each in found.ranks)
    return ComparePage(
        heads=[(job.name or job.id, f"/dashboard/jobs/{job.id}", job.status) for job in found.jobs],
        recipe=[
            Row(each.pointer.lstrip("/").replace("/", " · "), [_said(v) for v in each.values])
            for each in found.recipe
        ],
        results=[*_sizes(found), *(_metric(each) for each in found.metrics)],
        ranks=[
            Row(titles[each.layer], ["dense" if rank is None else str(rank) for rank in each.ranks])
            for each in found.ranks
        ],
        same_rows=found.same_rows,
        are_measured=all(job.status == "succeeded" for job in found.jobs),
    )


def _said(value: Any) -> str:
    if value is None:
        return "–"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _sizes(found: Comparison) -> list[Row]:
    sizes = found.sizes
    return [
        Row("kept of the targets", _kept(sizes.target_params)),
        Row("parameters, whole model", _after(sizes.params, compact)),
        Row("size, whole model", _after(sizes.bytes, byte_size)),
        Row("latency of a batch", [_latency(each) for each in sizes.latency_ms]),
    ]


def _after(sizes: Sequence[BeforeAfter | None], write: Callable[[int], str]) -> list[str]:
    return ["" if size is None else write(size.after) for size in sizes]


def _kept(sizes: Sequence[BeforeAfter | None]) -> list[str]:
    return ["" if size is None else percent(size.kept) for size in sizes]


def _latency(milliseconds: float | None) -> str:
    return "" if milliseconds is None else f"{milliseconds:.1f} ms"


def _metric(found: MetricComparison) -> Row:
    name = found.name
    return Row(
        metric_heading(name),
        ["" if value is None else metric_value(name, value) for value in found.values],
        ["" if drop is None else words.change(name, -drop) for drop in found.drops],
    )
