"""Dry runs: the ranks a recipe would get, from cached spectra where an earlier job left them."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.plans.schemas import DryRun, Floor
from api.resolution import Resolved, resolve
from api.resolution.datasets import train_rows
from core.database.clock import seconds_between
from core.database.states import JobState
from core.database.tables import Job, SpectraRecord
from core.errors import RecipeError
from core.planning.budgets import floor_params
from core.planning.durations import time_range
from core.planning.fingerprints import stage_fingerprints
from core.planning.plan import Plan, Spectrum
from core.planning.planner import make_plan
from core.planning.resources import estimate_resources
from core.planning.spectra import load_spectra
from core.recipe import Recipe
from core.recipe.budget import MaxDropBudget
from core.settings import Settings
from core.storage.storage import Storage

SHAPE_ONLY_NOTE = (
    "no job of this project has measured these spectra yet: nothing is predicted, and ranks that "
    "would be spread by them are uniform"
)
MEASURED_NOTE = (
    "the job measures what this allocation goes by: nothing is predicted, "
    "and the ranks shown are uniform"
)
PREDICTION_NOTE = "the predicted increase ranks choices; as a number it is several times too low"
JOBS_REMEMBERED = 50
"""What a range of time is told from."""
ADAPTED_NOTE = "a new classification head, if the model needs one, is not counted"


def dry_run(
    recipe: Recipe, project_id: str, session: Session, settings: Settings, storage: Storage
) -> DryRun:
    """The plan of a recipe; raises what submitting it would raise, and for a max_drop, whose size
    only a job can find, RecipeError."""
    resolved = resolve(recipe, project_id, session, settings, storage)
    _refuse_max_drop(recipe)
    spectra = None
    if not recipe.measures_plans:
        spectra = _cached_spectra(recipe, resolved, project_id, session, storage)
    plan = resolved.plan
    if spectra is not None:
        plan = make_plan(resolved.layers, resolved.model.checkpoint.params, recipe, spectra)
        plan = plan.model_copy(update={"left": resolved.plan.left})
    rows = train_rows(recipe.task, resolved.dataset)
    resources = estimate_resources(plan, recipe, rows)
    return DryRun(
        basis="shape-only" if spectra is None else "cached-spectra",
        keep_ratio=plan.keep_ratio,
        plan=plan,
        resources=resources,
        time=time_range(resources.flops, _finished(session, project_id)),
        floor=_floor(recipe, resolved, plan),
        notes=[_note(recipe, spectra is not None), ADAPTED_NOTE],
    )


def _note(recipe: Recipe, predicts: bool) -> str:
    if recipe.measures_plans:
        return MEASURED_NOTE
    return PREDICTION_NOTE if predicts else SHAPE_ONLY_NOTE


def _refuse_max_drop(recipe: Recipe) -> None:
    if isinstance(recipe.budget, MaxDropBudget):
        raise RecipeError(
            "max_drop is measured by the job itself: no plan is known before.",
            hint="Ask for the plan of a keep_ratio, or submit the job: its result lists the "
            "candidates that were measured.",
            pointer="/budget/type",
        )


def _floor(recipe: Recipe, resolved: Resolved, plan: Plan) -> Floor:
    targets = floor_params(resolved.layers, recipe.allocation)
    model = plan.model_params_before - plan.target_params_before + targets
    return Floor(
        target_params=targets,
        target_keep_ratio=targets / plan.target_params_before,
        model_params=model,
        model_keep_ratio=model / plan.model_params_before,
    )


def _cached_spectra(
    recipe: Recipe, resolved: Resolved, project_id: str, session: Session, storage: Storage
) -> Mapping[str, Spectrum] | None:
    """The spectra that an earlier job of this project stored for equal inputs."""
    fingerprints = stage_fingerprints(
        recipe, resolved.model.checkpoint.digest, resolved.dataset.sha256
    )
    storage_key = session.scalar(
        select(SpectraRecord.storage_key).where(
            SpectraRecord.project_id == project_id,
            SpectraRecord.fingerprint == fingerprints["spectra"],
        )
    )
    if storage_key is None:
        return None
    try:
        return _loaded(storage.path(storage_key))
    except FileNotFoundError:
        return None


def _finished(session: Session, project_id: str) -> list[tuple[int, float]]:
    """FLOPs and seconds of the project's newest jobs that have succeeded."""
    query = (
        select(Job.inputs["flops"].as_integer(), seconds_between(Job.started_at, Job.finished_at))
        .where(Job.project_id == project_id, Job.state == JobState.SUCCEEDED)
        .order_by(Job.finished_at.desc())
        .limit(JOBS_REMEMBERED)
    )
    return [(flops, seconds) for flops, seconds in session.execute(query) if flops and seconds]


@lru_cache(maxsize=32)
def _loaded(path: Path) -> Mapping[str, Spectrum]:
    """Kept in the process: a stored file never changes, and budgets come in tens."""
    return load_spectra(path)
