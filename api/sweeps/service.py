"""Sweeps as callers see them: submitted, looked into, promoted."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.idempotency import Answer, Write
from api.jobs import service as jobs
from api.jobs.refusals import as_problems
from api.pagination import PageRequest, Rows, fetch
from api.problems import not_found
from api.recipes import assembled
from api.resolution import Resolved, resolve
from api.sweeps.schemas import Point, Promotion, Shared, Submitted, points_of
from api.sweeps.schemas import Sweep as SweepView
from core.database.sessions import Sessions, read_only
from core.database.tables import Sweep
from core.errors import CompressionError
from core.jobs import sweeps
from core.planning.fingerprints import stage_fingerprints
from core.recipe import Recipe
from core.recipe.sweep import (
    Place,
    SweepSpec,
    contents,
    evaluated_on,
    sharing_statistics,
    source,
)
from core.settings import Settings
from core.storage.storage import Storage


def prepare_submission(
    spec: SweepSpec,
    priority: int,
    project_id: str,
    sessions: Sessions,
    settings: Settings,
    storage: Storage,
) -> Write:
    """Find and check what every point names; the write that is returned queues them all."""
    points = list(expanded(spec))
    recipes = sharing_statistics([recipe for _, recipe in points])
    found = []
    with read_only(sessions)() as session:
        for (place, _), recipe in zip(points, recipes, strict=True):
            with pointing_into(spec, place):
                found.append(resolve(recipe, project_id, session, settings, storage))
    max_queued = settings.max_queued_jobs
    return lambda session: _submitted(session, spec, found, priority, project_id, max_queued)


def expanded(spec: SweepSpec) -> Iterator[tuple[Place, Recipe]]:
    for place, content in contents(spec):
        yield place, assembled(content, partial(source, spec, place))


@contextmanager
def pointing_into(spec: SweepSpec, place: Place) -> Iterator[None]:
    """Refusals of a point's recipe, said of the sweep's own fields."""
    try:
        yield
    except CompressionError as error:
        if error.pointer is not None:
            error.pointer = source(spec, place, error.pointer)
        raise


def _submitted(
    session: Session,
    spec: SweepSpec,
    found: Sequence[Resolved],
    priority: int,
    project_id: str,
    max_queued: int,
) -> Answer:
    for resolved in found:
        jobs.hold(session, resolved)
    with as_problems():
        row = sweeps.submit_sweep(
            session,
            project_id=project_id,
            name=spec.name,
            spec=spec.model_dump(mode="json", exclude_unset=True),
            points=[sweeps.Point(each.recipe, each.inputs()) for each in found],
            priority=priority,
            max_queued=max_queued,
        )
    session.refresh(row)
    view = shown(session, row)
    submitted = Submitted(**view.model_dump(), shared=shared(found))
    return Answer(202, submitted.model_dump(mode="json"), {"Location": view.links["self"]})


def shared(found: Sequence[Resolved]) -> Shared:
    prints = [
        stage_fingerprints(each.recipe, each.model.checkpoint.digest, each.dataset.sha256)
        for each in found
    ]
    takes = [each.recipe.needs_statistics for each in found]
    return Shared(
        adaptations=len({each["adapt"] for each in prints}),
        statistics_passes=len(
            {each["statistics"] for each, needs in zip(prints, takes, strict=True) if needs}
        ),
    )


def get(session: Session, project_id: str, sweep_id: str) -> Sweep:
    row = session.get(Sweep, sweep_id)
    if row is None or row.project_id != project_id:
        raise not_found("sweep", sweep_id)
    return row


def shown(session: Session, row: Sweep) -> SweepView:
    return shown_all(session, [row])[0]


def shown_all(session: Session, rows: Sequence[Sweep]) -> list[SweepView]:
    statuses = sweeps.statuses_of(session, [row.id for row in rows])
    return [SweepView.of(row, statuses[row.id]) for row in rows]


def listed(session: Session, project_id: str, page: PageRequest) -> Rows[Sweep]:
    query = select(Sweep).where(Sweep.project_id == project_id)
    return fetch(session, query, Sweep.created_at, Sweep.id, page)


def points(session: Session, project_id: str, sweep_id: str) -> list[Point]:
    return points_of(sweeps.jobs_of(session, get(session, project_id, sweep_id)))


def cancel(session: Session, project_id: str, sweep_id: str) -> SweepView:
    row = get(session, project_id, sweep_id)
    with as_problems():
        sweeps.cancel_sweep(session, row)
    return shown(session, row)


def delete(session: Session, project_id: str, sweep_id: str) -> None:
    with as_problems():
        sweeps.delete_sweep(session, get(session, project_id, sweep_id))


def prepare_promotion(
    sweep_id: str,
    promotion: Promotion,
    priority: int,
    project_id: str,
    sessions: Sessions,
    settings: Settings,
    storage: Storage,
) -> Write:
    """The point's recipe, on the test split, as a job of its own."""
    with read_only(sessions)() as session:
        get(session, project_id, sweep_id)
        row = jobs.get(session, project_id, promotion.job_id)
        if row.sweep_id != sweep_id:
            raise not_found("point", promotion.job_id)
        content = evaluated_on("test", {**row.recipe, **promotion.changes})
    recipe = assembled(content, lambda pointer: f"/changes{pointer}")
    return jobs.prepare_submission(recipe, priority, project_id, sessions, settings, storage)
