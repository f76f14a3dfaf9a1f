"""The first of a job's pages: what it is at, what came of it, what happened."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from markupsafe import Markup

from api.dashboard.jobs.drawings import loss_curve_svg
from api.dashboard.jobs.performance import Speed, speed_of
from api.dashboard.jobs.queries import LossPoint, WholeJob
from api.dashboard.jobs.timeline import Running, StageLine, running_stage, stage_lines
from api.dashboard.jobs.views import MetricChange, leading_change
from api.dashboard.moment import Moment
from core.database.states import JobState
from core.database.tables import JobEvent
from core.reporting.intervals import changes_svg, intervals_svg
from core.reporting.numbers import compact, grouped, percent
from core.reporting.result import Result
from core.reporting.tables import change_in_words

LEVELS = {"warning": "warning", "info": "note"}


@dataclass(frozen=True)
class ResultView:
    kept: str
    model_kept: str
    params: str
    metric: MetricChange | None
    change: str
    """With its paired interval."""
    split: str
    rows: str
    """How many the metrics were measured on."""
    confidence: str
    intervals: Markup
    changes: Markup | None
    speed: Speed | None


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
class Overview:
    running: Running | None
    stages: Sequence[StageLine]
    curves: Sequence[Curve]
    failure: Failure | None
    result: ResultView | None
    recipe: str
    recipe_hash: str
    events: Sequence[EventLine]


def overview(whole: WholeJob, now: datetime) -> Overview:
    job = whole.job
    return Overview(
        running=running_stage(whole.stages) if job.state == JobState.RUNNING else None,
        stages=stage_lines(job, whole.stages, now),
        curves=[_curve(stage, points) for stage, points in whole.losses.items()],
        failure=_failure(job.error) if job.error and job.state == JobState.FAILED else None,
        result=_result(whole) if job.result else None,
        recipe=json.dumps(job.recipe, indent=2, ensure_ascii=False),
        recipe_hash=job.recipe_hash,
        events=[_event(event, now) for event in whole.events],
    )


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
        split=result.split,
        rows=grouped(headline[0].n),
        confidence=percent(whole.job.recipe["evaluation"]["confidence"], decimals=0),
        intervals=Markup(intervals_svg(headline)),
        changes=Markup(changes_svg(headline)) if len(headline) > 1 else None,
        speed=speed_of(result.latency) if result.latency else None,
    )


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
