"""Measured latency as bars, and in words that say slower when it is slower."""

from collections.abc import Sequence
from dataclasses import dataclass

from core.reporting import svg
from core.reporting.result import Latency
from core.reporting.scale import LinearScale

WIDTH, LEFT, RIGHT, ROW = 440.0, 84.0, 88.0, 30.0


@dataclass(frozen=True)
class Timing:
    """One model's median time for a batch, in milliseconds; the interval is of the median."""

    label: str
    median_ms: float
    interval_ms: tuple[float, float]


def timings(latency: Latency) -> tuple[Timing, Timing]:
    return (
        Timing("dense", latency.dense_ms, latency.dense_interval),
        Timing("compressed", latency.compressed_ms, latency.compressed_interval),
    )


def latency_svg(timings: Sequence[Timing]) -> str:
    """A bar to the median of each model, its interval as a thin line."""
    longest = max(end for timing in timings for end in (timing.median_ms, *timing.interval_ms))
    scale = LinearScale(0, longest, LEFT, WIDTH - RIGHT)
    rows = [_row(timing, scale, i * ROW) for i, timing in enumerate(timings)]
    return svg.drawing(WIDTH, len(timings) * ROW, "Milliseconds a batch", *rows)


def speed_in_words(speedup: float, interval: tuple[float, float]) -> str:
    """How fast the compressed model is; a difference counts when its interval excludes 1."""
    low, high = interval
    if high < 1:
        return f"slower than dense: {speedup:.2f} times its speed"
    if low > 1:
        return f"faster than dense: {speedup:.2f} times its speed"
    return f"no clear difference to dense: {speedup:.2f} times its speed"


def _row(timing: Timing, scale: LinearScale, y: float) -> str:
    middle = y + ROW / 2
    bar = "bar quiet-bar" if timing.label == "dense" else "bar"
    return svg.group(
        svg.text(LEFT - 14, middle + 3.5, timing.label, "label", "end"),
        svg.rectangle(LEFT, y + 7, scale(timing.median_ms) - LEFT, ROW - 14, bar, radius=1.5),
        *_interval(timing, scale, middle),
        svg.text(WIDTH - 4, middle + 3.5, f"{timing.median_ms:.2f} ms", "value", "end"),
        tooltip=f"{timing.label}: {timing.median_ms:.3f} ms a batch",
    )


def _interval(timing: Timing, scale: LinearScale, y: float) -> list[str]:
    low, high = (scale(end) for end in timing.interval_ms)
    return [
        svg.line(low, y, high, y, "interval"),
        svg.line(low, y - 4, low, y + 4, "interval"),
        svg.line(high, y - 4, high, y + 4, "interval"),
    ]
