"""What a job's result weighs, and how fast it is beside the dense model."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from core.database.tables import Job
from core.reporting.latency import latency_svg, speed_in_words, timings
from core.reporting.result import Latency, Result
from core.reporting.tables import SizeRow, size_rows


@dataclass(frozen=True)
class TimeRow:
    model: str
    median: str
    interval: str
    p95: str
    """Empty in results of before it was told."""
    rate: str
    """Rows a second."""


@dataclass(frozen=True)
class Speed:
    change: str
    """31.2 → 22.0 ms"""
    words: str
    drawing: Markup
    is_slower: bool
    conditions: str
    rows: Sequence[TimeRow]


@dataclass(frozen=True)
class PerformancePage:
    sizes: Sequence[SizeRow]
    speed: Speed | None


def performance_page(job: Job) -> PerformancePage | None:
    """None while there is no result."""
    if not job.result:
        return None
    result = Result.model_validate(job.result)
    return PerformancePage(
        sizes=size_rows(result), speed=speed_of(result.latency) if result.latency else None
    )


def speed_of(latency: Latency) -> Speed:
    threads = "thread" if latency.threads == 1 else "threads"
    dense, compressed = timings(latency)
    return Speed(
        change=f"{latency.dense_ms:.1f} → {latency.compressed_ms:.1f} ms",
        drawing=Markup(latency_svg((dense, compressed))),
        words=speed_in_words(latency.speedup, latency.speedup_interval),
        is_slower=latency.speedup_interval[1] < 1,
        conditions=(
            f"batches of {latency.batch}, {latency.mean_tokens:.0f} tokens on average, "
            f"{latency.device}, {latency.threads} {threads}, {latency.repeats} repeats"
        ),
        rows=[
            _time_row(
                "dense",
                latency.dense_ms,
                latency.dense_interval,
                latency.dense_p95_ms,
                latency.batch,
            ),
            _time_row(
                "compressed",
                latency.compressed_ms,
                latency.compressed_interval,
                latency.compressed_p95_ms,
                latency.batch,
            ),
        ],
    )


def _time_row(
    model: str, median: float, interval: tuple[float, float], p95: float | None, batch: int
) -> TimeRow:
    return TimeRow(
        model=model,
        median=f"{median:.2f}",
        interval=f"{interval[0]:.2f} to {interval[1]:.2f}",
        p95="" if p95 is None else f"{p95:.2f}",
        rate=f"{1000 * batch / median:.0f}",
    )
