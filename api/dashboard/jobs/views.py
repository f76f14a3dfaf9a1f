"""The list of jobs, and what every page says about a job: rows turned into what templates show."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from markupsafe import Markup

from api.dashboard import words
from api.dashboard.jobs.drawings import Segment, stage_bar_svg
from api.dashboard.jobs.queries import JobsPage, ListedJob
from api.dashboard.moment import Moment
from core.database.states import FINISHED, JobState, shown_status
from core.database.tables import Job, JobMetric, JobStage
from core.reporting.numbers import (
    change_unit,
    compact,
    leading_metric,
    metric_change,
    metric_title,
    metric_unit,
    metric_value,
)

PHASES = ("dense", "factorized", "finetuned")
LEFT_OFF = {
    JobState.FAILED: "failed",
    JobState.CANCELLED: "stopped",
    JobState.PAUSED: "halted",
    JobState.QUEUED: "halted",
}
"""What the stage at work became when the job left its worker."""


@dataclass(frozen=True)
class MetricChange:
    """Dense to result, in the metric's own unit."""

    title: str
    dense: str
    result: str
    change: str
    unit: str
    change_unit: str


@dataclass(frozen=True)
class SizeChange:
    """Parameters of the whole model."""

    before: str
    after: str


@dataclass(frozen=True)
class Heading:
    """What identifies a job, on every page that shows it."""

    id: str
    name: str
    href: str
    status: str
    model: str
    model_path: str
    method: str
    budget: str
    created: Moment
    is_finished: bool


@dataclass(frozen=True)
class JobLine:
    """One job in the list."""

    heading: Heading
    bar: Markup
    doing: str
    """What it is at, or why it ended."""
    size: SizeChange | None
    metric: MetricChange | None


@dataclass(frozen=True)
class Filter:
    title: str
    value: str
    count: int
    is_chosen: bool


@dataclass(frozen=True)
class JobList:
    jobs: Sequence[JobLine]
    filters: Sequence[Filter]
    chosen: str
    name: str
    next_cursor: str | None
    is_later_page: bool
    has_any: bool
    """Whether the project has a job at all."""
    is_moving: bool
    """Whether any job on the page may still change."""


def job_list(
    page: JobsPage, state: JobState | None, name: str, after: str | None, now: datetime
) -> JobList:
    return JobList(
        jobs=[job_line(listed, now) for listed in page.jobs],
        filters=_filters(page.counts, state),
        chosen=state.value if state else "",
        name=name,
        next_cursor=page.next_cursor,
        is_later_page=after is not None,
        has_any=bool(page.counts),
        is_moving=any(listed.job.state not in FINISHED for listed in page.jobs),
    )


def job_line(listed: ListedJob, now: datetime) -> JobLine:
    segments = [segment(stage, listed.job.state) for stage in listed.stages]
    doing = what_it_does(listed.job, listed.stages)
    label = f"{_stages_behind(listed.stages)} of {len(listed.stages)} stages done"
    return JobLine(
        heading=heading(listed.job, now),
        bar=Markup(stage_bar_svg(segments, label)) if segments else Markup(""),
        doing=doing,
        size=size_change(listed.job),
        metric=leading_change(listed.job, listed.metrics),
    )


def heading(job: Job, now: datetime) -> Heading:
    recipe = job.recipe
    model = recipe["model"].get("path") or recipe["model"]["id"]
    return Heading(
        id=job.id,
        name=job.name or "unnamed job",
        href=f"/dashboard/jobs/{job.id}",
        status=shown_status(job.state, job.requested),
        model=words.last_part(model),
        model_path=model,
        method=recipe["method"]["type"],
        budget=words.budget(recipe["budget"]),
        created=Moment.of(job.created_at, now),
        is_finished=job.state in FINISHED,
    )


def segment(stage: JobStage, state: JobState) -> Segment:
    kind = stage_kind(stage, state)
    if kind in {"running", "halted"} and stage.done is not None and stage.total:
        return Segment(kind, done=min(1.0, stage.done / stage.total))
    return Segment(kind)


def stage_kind(stage: JobStage, state: JobState) -> str:
    """pending, running, done, reused, skipped, failed, stopped, halted: a class, mark and word."""
    if stage.state == "running":
        return LEFT_OFF.get(state, "running")
    if stage.state == "skipped" or stage.source == "skipped":
        return "skipped"
    if stage.source in {"cache", "workspace"}:
        return "reused"
    return stage.state


def what_it_does(job: Job, stages: Sequence[JobStage]) -> str:
    """finetune 43 %, about 2 min left / waiting for a worker / failed in statistics"""
    if job.state == JobState.FAILED and job.error:
        return f"failed in {job.error['stage']}" if job.error.get("stage") else "failed"
    if job.state == JobState.QUEUED:
        return "waiting for a worker"
    running = next((stage for stage in stages if stage.state == "running"), None)
    if job.state != JobState.RUNNING or running is None:
        return "starting" if job.state == JobState.RUNNING else ""
    return " ".join((running.stage, *_how_far(running)))


def _how_far(stage: JobStage) -> list[str]:
    if stage.done is None or not stage.total:
        return []
    told = [f"{stage.done / stage.total:.0%}".replace("%", " %")]
    if stage.eta_s is not None:
        told[0] += ","
        told.append(words.remaining(stage.eta_s))
    return told


def size_change(job: Job) -> SizeChange | None:
    if not job.result:
        return None
    model = job.result["params"]["model"]
    return SizeChange(compact(model["before"]), compact(model["after"]))


def leading_change(job: Job, metrics: Sequence[JobMetric]) -> MetricChange | None:
    """What the leading metric lost or gained from the dense model to the last phase measured."""
    headline = job.result.get("headline") if job.result else job.recipe["task"].get("metric")
    name = leading_metric([metric.name for metric in metrics], headline)
    if name is None:
        return None
    values = {metric.phase: metric.value for metric in metrics if metric.name == name}
    measured = [values[phase] for phase in PHASES if phase in values]
    if "dense" not in values or len(measured) < 2:
        return None
    return metric_change_of(name, measured[0], measured[-1])


def metric_change_of(name: str, dense: float, result: float) -> MetricChange:
    return MetricChange(
        title=metric_title(name),
        dense=metric_value(name, dense),
        result=metric_value(name, result),
        change=metric_change(name, result - dense),
        unit=metric_unit(name),
        change_unit=change_unit(name),
    )


def _stages_behind(stages: Sequence[JobStage]) -> int:
    return sum(stage.state in {"done", "skipped"} for stage in stages)


def _filters(counts: dict[JobState, int], chosen: JobState | None) -> list[Filter]:
    everything = Filter("all", "", sum(counts.values()), chosen is None)
    states = [
        Filter(state.value, state.value, counts.get(state, 0), state == chosen)
        for state in JobState
    ]
    return [everything, *states]
