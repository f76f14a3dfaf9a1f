"""What every page of a job has around it: name, state, what may be asked, the other pages."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from api.dashboard import words
from api.dashboard.jobs.views import Heading, heading
from api.dashboard.moment import Moment
from core.database.states import FINISHED, JobState
from core.database.tables import Job
from core.jobs import requests
from core.jobs.requests import Verb

Tab = Literal["overview", "layers", "quality", "performance", "artifact"]


@dataclass(frozen=True)
class TabLink:
    title: str
    href: str
    is_here: bool


@dataclass(frozen=True)
class JobFrame:
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
    tabs: Sequence[TabLink]


def job_frame(job: Job, here: Tab, now: datetime) -> JobFrame:
    return JobFrame(
        heading=heading(job, now),
        started=Moment.of(job.started_at, now) if job.started_at else None,
        took=_took(job, now),
        attempts=job.attempts,
        crashes=job.crashes,
        queue=job.queue,
        is_moving=job.state not in FINISHED,
        verbs=askable(job),
        last_seq=job.last_seq,
        tabs=[_tab(job.id, "overview", "", here)]
        + [
            _tab(job.id, tab, f"/{tab}", here)
            for tab in ("layers", "quality", "performance", "artifact")
        ],
    )


def askable(job: Job) -> list[Verb]:
    allowed = requests.allowed(job.state, job.requested)
    return [verb for verb in allowed if verb != "delete" and verb != job.requested]


def _tab(job_id: str, tab: str, path: str, here: Tab) -> TabLink:
    return TabLink(tab.capitalize(), f"/dashboard/jobs/{job_id}{path}", tab == here)


def _took(job: Job, now: datetime) -> str:
    end = now if job.state == JobState.RUNNING else job.finished_at
    if job.started_at is None or end is None:
        return ""
    return words.duration((end - job.started_at).total_seconds())
