"""Durations, ages, sizes and budgets, as a person would say them."""

from datetime import datetime
from typing import Any

from core.planning.durations import TimeRange
from core.reporting.numbers import change_unit, compact, metric_change

MINUTE, HOUR, DAY = 60, 3600, 86_400
JUST_NOW_S = 5
SIZES = ((10**9, "GB"), (10**6, "MB"), (10**3, "kB"))


def duration(seconds: float) -> str:
    """0.4 s, 43 s, 2 min 05 s, 1 h 12 min, 3 d 4 h"""
    whole = round(seconds)
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if whole < MINUTE:
        return f"{whole} s"
    if whole < HOUR:
        return f"{whole // MINUTE} min {whole % MINUTE:02d} s"
    if whole < DAY:
        return f"{whole // HOUR} h {whole % HOUR // MINUTE:02d} min"
    return f"{whole // DAY} d {whole % DAY // HOUR} h"


def remaining(seconds: float) -> str:
    """An estimate, said as one: about 2 min left"""
    if seconds < JUST_NOW_S:
        return "a few seconds left"
    if seconds < 55:
        return f"about {5 * round(seconds / 5)} s left"
    if seconds < 55 * MINUTE:
        return f"about {max(1, round(seconds / MINUTE))} min left"
    return f"about {duration(15 * MINUTE * round(seconds / (15 * MINUTE)))} left"


def age(then: datetime, now: datetime) -> str:
    """just now, 43 s ago, 5 min ago, 3 h ago, 2 d ago"""
    seconds = (now - then).total_seconds()
    if seconds < JUST_NOW_S:
        return "just now"
    for size, unit in ((DAY, "d"), (HOUR, "h"), (MINUTE, "min")):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


def moment(then: datetime) -> str:
    return then.strftime("%Y-%m-%d %H:%M:%S UTC")


def counted(done: int, total: int, unit: str) -> str:
    """412 of 960 steps"""
    return f"{done:,} of {total:,} {unit if total == 1 else plural(unit)}"


def counted_of(count: int, unit: str) -> str:
    """1 job, 3 jobs"""
    return f"{count:,} {unit if count == 1 else plural(unit)}"


def plural(unit: str) -> str:
    """batch → batches, entry → entries, layer → layers; what ends in s is one already."""
    if unit.endswith("s"):
        return unit
    if unit.endswith("ry"):
        return f"{unit[:-1]}ies"
    return f"{unit}es" if unit.endswith(("ch", "sh", "x")) else f"{unit}s"


def size(count: int) -> tuple[str, str]:
    """A number of bytes as (number, unit), so that numbers and units can stand in columns."""
    for unit_size, unit in SIZES:
        if count >= unit_size:
            return f"{count / unit_size:.1f}", unit
    return str(count), "B"


def share(value: float) -> str:
    """A budget as it was asked for: 0.3 → 30 %, 0.333 → 33.3 %"""
    return f"{100 * value:.4g} %"


def budget(asked: dict[str, Any]) -> str:
    """keep 30 % of targets / rank ratio 0.33 / at most 12.0M of the model / 48.0 MB of targets /
    lose at most 0.01 of accuracy"""
    if asked["type"] == "rank_ratio":
        return f"rank ratio {asked['value']:g}"
    if asked["type"] == "max_drop":
        return f"lose at most {asked['abs']:g} of {asked.get('metric') or 'the metric'}"
    scope = {"targets": "of targets", "model": "of the model"}[asked.get("scope", "targets")]
    if asked["type"] == "params":
        return f"at most {compact(asked['value'])} {scope}"
    if asked["type"] == "bytes":
        return f"at most {' '.join(size(asked['value']))} {scope}"
    return f"keep {share(asked['value'])} {scope}"


def time_range(found: TimeRange | None, rough: str | None) -> str:
    """5 min 10 s to 9 min 00 s, as 12 jobs took here; else the order of magnitude."""
    if found is not None:
        jobs = f"as {found.jobs} jobs took here"
        return f"{duration(found.low_s)} to {duration(found.high_s)}, {jobs}"
    return f"a job of {rough} on two cores" if rough else ""


def basis(name: str) -> str:
    """How much a plan knows."""
    return {
        "shape-only": "from shapes alone: no job has measured this model's spectra yet",
        "cached-spectra": "from the spectra of an earlier job: the plan a job would make",
    }[name]


def change(metric: str, amount: float) -> str:
    """+0.4 points, −0.0123"""
    return f"{metric_change(metric, amount)} {change_unit(metric)}".strip()


def last_part(path: str) -> str:
    """The name a path ends in."""
    return path.rstrip("/").rsplit("/", 1)[-1] or path
