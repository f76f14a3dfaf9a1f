"""The other pages of a job, and its tables as files."""

import json
from collections.abc import Callable, Sequence
from typing import Any, Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import BaseModel
from sqlalchemy.orm import Session

from api.artifacts import service as artifacts
from api.artifacts.schemas import ArtifactFile
from api.csv_pages import CSV, as_csv
from api.dashboard.jobs.artifact import artifact_page
from api.dashboard.jobs.frame import job_frame
from api.dashboard.jobs.layers import layers_page
from api.dashboard.jobs.performance import performance_page
from api.dashboard.jobs.quality import quality_page
from api.dashboard.jobs.rendering import render_job
from api.dashboard.moment import Moment
from api.dashboard.pages import PageRoute
from api.dashboard.session import SignedIn
from api.dependencies import Reading
from api.jobs import history
from api.jobs import service as jobs
from api.jobs.schemas import ChangedAnswer, Layer, Metric
from core.database.tables import now

router = APIRouter(
    prefix="/dashboard/jobs/{job_id}", route_class=PageRoute, include_in_schema=False
)

Noun = Literal["layers", "metrics", "changed-answers", "artifacts"]
Format = Literal["csv", "json"]
TABLES: dict[
    Noun, tuple[Callable[[Session, str, str], Sequence[Any]], Callable[[Any], BaseModel]]
] = {
    "layers": (history.layers, Layer.of),
    "metrics": (history.metrics, Metric.of),
    "changed-answers": (history.changed_answers, ChangedAnswer.of),
    "artifacts": (artifacts.listed, ArtifactFile.of),
}
"""Rows of a job, and each of them as the list under /v1 shows it."""


@router.get("/layers")
def show_layers(viewer: SignedIn, reading: Reading, job_id: str) -> HTMLResponse:
    row = jobs.get(reading, viewer.caller.project_id, job_id)
    page = layers_page(history.layers(reading, row.project_id, row.id))
    return render_job("job_layers.html", viewer, job_frame(row, "layers", now()), page=page)


@router.get("/quality")
def show_quality(viewer: SignedIn, reading: Reading, job_id: str) -> HTMLResponse:
    row = jobs.get(reading, viewer.caller.project_id, job_id)
    page = quality_page(row, history.changed_answers(reading, row.project_id, row.id))
    return render_job("job_quality.html", viewer, job_frame(row, "quality", now()), page=page)


@router.get("/performance")
def show_performance(viewer: SignedIn, reading: Reading, job_id: str) -> HTMLResponse:
    row = jobs.get(reading, viewer.caller.project_id, job_id)
    frame = job_frame(row, "performance", now())
    return render_job("job_performance.html", viewer, frame, page=performance_page(row))


@router.get("/artifact")
def show_artifact(
    request: Request, viewer: SignedIn, reading: Reading, job_id: str
) -> HTMLResponse:
    row = jobs.get(reading, viewer.caller.project_id, job_id)
    service = str(request.base_url).rstrip("/")
    page = artifact_page(row, artifacts.listed(reading, row.project_id, row.id), service)
    dropped = row.artifact_dropped_at
    return render_job(
        "job_artifact.html",
        viewer,
        job_frame(row, "artifact", now()),
        page=page,
        dropped=None if dropped is None else Moment.of(dropped, now()),
    )


@router.get("/{noun}.{form}")
def export_table(
    viewer: SignedIn, reading: Reading, job_id: str, noun: Noun, form: Format
) -> Response:
    """One of the job's tables, as the list of that name under /v1 gives it."""
    rows_of, view = TABLES[noun]
    found = rows_of(reading, viewer.caller.project_id, job_id)
    rows = [view(row).model_dump(mode="json") for row in found]
    content = as_csv(rows) if form == "csv" else json.dumps(rows, ensure_ascii=False, indent=1)
    return Response(
        content,
        media_type=CSV if form == "csv" else "application/json",
        headers={"Content-Disposition": f'attachment; filename="{job_id}-{noun}.{form}"'},
    )
