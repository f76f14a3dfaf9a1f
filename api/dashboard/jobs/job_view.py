"""One job's page: rows turned into what its template shows."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from markupsafe import Markup

from api.dashboard import words
from api.dashboard.jobs.drawings import loss_curve_svg
from api.dashboard.jobs.queries import LossPoint, WholeJob
from api.dashboard.jobs.timeline import Running, StageLine, running_stage, stage_lines
from api.dashboard.jobs.views import Heading, MetricChange, heading, leading_change
from api.dashboard.moment import Moment
from core.database.states import FINISHED, JobState
from core.database.tables import Artifact, Job, JobEvent
from core.jobs import requests
from core.jobs.requests import Verb
from core.recipe.events import LayerReport
from core.reporting.intervals import changes_svg, intervals_svg
from core.reporting.latency import latency_svg, speed_in_words, timings
from core.reporting.numbers import compact, grouped, percent
from core.reporting.rank_map import rank_map_svg
from core.reporting.result import Latency, Result
from core.reporting.tables import MetricRow, SizeRow, change_in_words, metric_rows, size_rows

LEVELS = {"warning": "warning", "info": "note"}


@dataclass(frozen=True)
class Speed:
    change: str
    """31.2 → 22.0 ms"""
    words: str
    drawing: Markup
    is_slower: bool
    conditions: str


@dataclass(frozen=True)
class ResultView:
    kept: str
    model_kept: str
    params: str
    metric: MetricChange | None
    change: str
    """With its paired interval."""
    sizes: Sequence[SizeRow]
    metrics: Sequence[MetricRow]
    split: str
    rows: str
    """How many the metrics were measured on."""
    confidence: str
    intervals: Markup
    changes: Markup | None
    speed: Speed | None


@dataclass(frozen=True)
class FileLine:
    name: str
    number: str
    unit: str
    sha256: str
    href: str


@dataclass(frozen=True)
class EventLine:
    when: Moment
    clock: str
    kind: str
    text: str


@dataclass(frozen=True)
class Curve:
    stage: str
    drawing: Markup


@dataclass(frozen=True)
class Failure:
    message: str
    hint: str | None
    where: str
    code: str
    pointer: str | None
    retryable: bool


@dataclass(frozen=True)
class JobPage:
    heading: Heading
    started: Moment | None
    took: str
    """How long it ran, or has been running."""
    attempts: int
    crashes: int
    queue: str
    is_moving: bool
    verbs: Sequence[Verb]
    """What may be asked of it now, what was asked already left out."""
    last_seq: int
    running: Running | None
    stages: Sequence[StageLine]
    curves: Sequence[Curve]
    failure: Failure | None
    result: ResultView | None
    rank_map: Markup | None
    files: Sequence[FileLine]
    files_size: str
    recipe: str
    recipe_hash: str
    events: Sequence[EventLine]


def job_page(whole: WholeJob, now: datetime) -> JobPage:
    job = whole.job
    layers = [LayerReport.model_validate(layer.report) for layer in whole.layers]
    at_work = job.state == JobState.RUNNING
    return JobPage(
        heading=heading(job, now),
        started=Moment.of(job.started_at, now) if job.started_at else None,
        took=_took(job, now),
        attempts=job.attempts,
        crashes=job.crashes,
        queue=job.queue,
        is_moving=job.state not in FINISHED,
        verbs=askable(job),
        last_seq=job.last_seq,
        running=running_stage(whole.stages) if at_work else None,
        stages=stage_lines(job, whole.stages, now),
        curves=[_curve(stage, points) for stage, points in whole.losses.items()],
        failure=_failure(job.error) if job.error and job.state == JobState.FAILED else None,
        result=_result(whole) if job.result else None,
        rank_map=Markup(rank_map_svg(layers)) if layers else None,
        files=[_file(job.id, artifact) for artifact in whole.artifacts],
        files_size=" ".join(words.size(sum(artifact.bytes for artifact in whole.artifacts))),
        recipe=json.dumps(job.recipe, indent=2, ensure_ascii=False),
        recipe_hash=job.recipe_hash,
        events=[_event(event, now) for event in whole.events],
    )


def _took(job: Job, now: datetime) -> str:
    end = now if job.state == JobState.RUNNING else job.finished_at
    if job.started_at is None or end is None:
        return ""
    return words.duration((end - job.started_at).total_seconds())


def _curve(stage: str, points: Sequence[LossPoint]) -> Curve:
    label = f"Training loss of {stage}, from {points[0].loss:.3f} to {points[-1].loss:.3f}"
    return Curve(stage, Markup(loss_curve_svg(points, label)))


def _failure(error: dict[str, Any]) -> Failure:
    return Failure(
        message=error["message"],
        hint=error.get("hint"),
        where=error.get("stage") or "",
        code=error["code"],
        pointer=error.get("pointer"),
        retryable=bool(error.get("retryable")),
    )


def _result(whole: WholeJob) -> ResultView:
    result = Result.model_validate(whole.job.result)
    headline = result.measured(result.metric_names[0])
    return ResultView(
        kept=percent(result.params.targets.kept),
        model_kept=percent(result.params.model.kept),
        params=f"{compact(result.params.model.before)} → {compact(result.params.model.after)}",
        metric=leading_change(whole.job, whole.metrics),
        change=change_in_words(headline[-1]),
        sizes=size_rows(result),
        metrics=metric_rows(result),
        split=result.split,
        rows=grouped(headline[0].n),
        confidence=percent(whole.job.recipe["evaluation"]["confidence"], decimals=0),
        intervals=Markup(intervals_svg(headline)),
        changes=Markup(changes_svg(headline)) if len(headline) > 1 else None,
        speed=_speed(result.latency) if result.latency else None,
    )


def _speed(latency: Latency) -> Speed:
    threads = "thread" if latency.threads == 1 else "threads"
    return Speed(
        change=f"{latency.dense_ms:.1f} → {latency.compressed_ms:.1f} ms",
        drawing=Markup(latency_svg(timings(latency))),
        words=speed_in_words(latency.speedup, latency.speedup_interval),
        is_slower=latency.speedup_interval[1] < 1,
        conditions=(
            f"batches of {latency.batch}, {latency.mean_tokens:.0f} tokens on average, "
            f"{latency.device}, {latency.threads} {threads}, {latency.repeats} repeats"
        ),
    )


def _file(job_id: str, artifact: Artifact) -> FileLine:
    number, unit = words.size(artifact.bytes)
    href = f"/dashboard/jobs/{job_id}/files/{artifact.name}"
    return FileLine(artifact.name, number, unit, artifact.sha256, href)


def _event(event: JobEvent, now: datetime) -> EventLine:
    return EventLine(
        when=Moment.of(event.created_at, now),
        clock=event.created_at.strftime("%H:%M:%S"),
        kind=LEVELS.get(event.data.get("level", ""), "") if event.type == "log" else event.type,
        text=_event_text(event),
    )


def _event_text(event: JobEvent) -> str:
    """The one thing that each kind of event has to say."""
    data = event.data
    if event.type == "runner.ready":
        return f"{data['device']}, {data['threads']} threads"
    if event.type == "job.running":
        return f"attempt {event.epoch}"
    if event.type == "artifact.ready":
        return f"{len(data['files'])} files"
    return str(next((data[name] for name in ("message", "reason", "stage") if data.get(name)), ""))


def askable(job: Job) -> list[Verb]:
    allowed = requests.allowed(job.state, job.requested)
    return [verb for verb in allowed if verb != "delete" and verb != job.requested]
