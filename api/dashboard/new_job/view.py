"""The page of a new job: choices, a look at the data, and the plan of what is chosen."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup
from pydantic import ValidationError
from sqlalchemy.orm import Session

from api.dashboard import words
from api.dashboard.new_job.form import ROLES, Copies, Form, copies, preset_titles, value_of
from api.datasets import service as datasets
from api.datasets.schemas import DatasetWithPreview
from api.models import service as models
from api.models.schemas import Model
from api.pagination import PageRequest
from api.plans.schemas import DryRun
from api.plans.service import dry_run
from api.problems import Problem
from api.recipes import POINTERS
from core.errors import CompressionError
from core.recipe.events import LayerReport
from core.reporting.numbers import byte_size, compact, percent
from core.reporting.rank_map import rank_map_svg
from core.settings import Settings
from core.storage.storage import Storage

MOST_CHOICES = 100
ROWS_SHOWN = 5
LONGEST_CELL = 120


@dataclass(frozen=True)
class Choice:
    value: str
    title: str
    is_chosen: bool


@dataclass(frozen=True)
class Column:
    """A role of the task, and the columns that could have it."""

    role: str
    choices: Sequence[Choice]


@dataclass(frozen=True)
class Preview:
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    count: int


@dataclass(frozen=True)
class ShownPlan:
    kept: str
    target_params: str
    model_params: str
    model_kept: str
    size: str
    increase: str
    """Predicted; empty where nothing is."""
    memory: str
    time: str
    basis: str
    floor: str
    notes: Sequence[str]
    rank_map: Markup


@dataclass(frozen=True)
class NewJobPage:
    form: Form
    models: Sequence[Choice]
    datasets: Sequence[Choice]
    tasks: Sequence[Choice]
    presets: Sequence[Choice]
    columns: Sequence[Column]
    preview: Preview | None
    plan: ShownPlan | None
    refusal: str
    """Why there is no plan; empty where there is one, or too little is chosen."""
    copies: Copies | None


@dataclass(frozen=True)
class Desk:
    """What the page reads from."""

    session: Session
    project_id: str
    settings: Settings
    storage: Storage
    address: str

    def page(self, form: Form, refusal: str = "") -> NewJobPage:
        dataset = self._dataset(form.dataset)
        form = _with_usual_columns(form, dataset)
        knows = form.is_whole and not form.is_searched and not refusal
        plan, why = self._planned(form) if knows else (None, refusal)
        return NewJobPage(
            form=form,
            models=self._models(form),
            datasets=self._datasets(form),
            tasks=[Choice(name, name, name == form.task) for name in ROLES],
            presets=[
                Choice(name, f"{name}: {summary}", name == form.preset)
                for name, summary in preset_titles()
            ],
            columns=_columns(form, dataset),
            preview=_preview(dataset),
            plan=plan,
            refusal=why,
            copies=copies(form, self.address) if form.is_whole else None,
        )

    def _dataset(self, id: str) -> DatasetWithPreview | None:
        row = datasets.find(self.session, self.project_id, id) if id else None
        return None if row is None else datasets.with_preview(row, self.storage)

    def _models(self, form: Form) -> list[Choice]:
        page = PageRequest(limit=MOST_CHOICES)
        found = models.listed(self.session, self.project_id, page, self.storage, self.settings)
        return [_model_choice(model, form.model) for model in found.rows]

    def _datasets(self, form: Form) -> list[Choice]:
        page = PageRequest(limit=MOST_CHOICES)
        rows = datasets.listed(self.session, self.project_id, page).rows
        return [
            Choice(row.id, f"{row.name} ({row.rows:,} rows)", row.id == form.dataset)
            for row in rows
        ]

    def _planned(self, form: Form) -> tuple[ShownPlan | None, str]:
        try:
            found = dry_run(
                form.validated(), self.project_id, self.session, self.settings, self.storage
            )
        except (ValidationError, CompressionError, Problem) as error:
            return None, in_words(error)
        return _shown(found), ""


def in_words(error: Exception) -> str:
    """A refusal, with the field it is about."""
    if isinstance(error, ValidationError):
        told = [f"{each.pointer}: {each.detail}" for each in POINTERS.errors(error)]
        return "; ".join(told)
    if isinstance(error, CompressionError):
        where = f"{error.pointer}: " if error.pointer else ""
        return f"{where}{error.message}" + (f" ({error.hint})" if error.hint else "")
    return str(getattr(error, "detail", error))


def _model_choice(model: Model, chosen: str) -> Choice:
    value = value_of(model.source)
    return Choice(value, f"{model.name} ({model.family}, {compact(model.params)})", value == chosen)


def _with_usual_columns(form: Form, dataset: DatasetWithPreview | None) -> Form:
    """What was chosen if the table has it, else the column named as its role, else by place."""
    if dataset is None:
        return Form(**{**vars(form), "text": "", "label": ""})
    names = [column.name for column in dataset.columns]
    chosen = {
        role: getattr(form, role)
        if getattr(form, role) in names
        else role
        if role in names
        else names[min(place, len(names) - 1)]
        for place, role in enumerate(("text", "label"))
    }
    return Form(**{**vars(form), **chosen})


def _columns(form: Form, dataset: DatasetWithPreview | None) -> list[Column]:
    if dataset is None:
        return []
    names = [column.name for column in dataset.columns]
    return [
        Column(role, [Choice(name, name, name == getattr(form, role)) for name in names])
        for role in ROLES.get(form.task, ())
    ]


def _preview(dataset: DatasetWithPreview | None) -> Preview | None:
    if dataset is None or dataset.preview is None:
        return None
    columns = [column.name for column in dataset.columns]
    rows = [[_cell(row.get(name)) for name in columns] for row in dataset.preview[:ROWS_SHOWN]]
    return Preview(columns, rows, dataset.rows)


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= LONGEST_CELL else f"{text[: LONGEST_CELL - 1]}…"


def _shown(found: DryRun) -> ShownPlan:
    plan, resources = found.plan, found.resources
    increase = plan.predicted_loss_increase
    return ShownPlan(
        kept=percent(found.keep_ratio),
        target_params=f"{compact(plan.target_params_before)} → {compact(plan.target_params_after)}",
        model_params=f"{compact(plan.model_params_before)} → {compact(plan.model_params_after)}",
        model_kept=percent(plan.model_params_after / plan.model_params_before),
        size=" → ".join(
            byte_size(size) for size in (resources.model_bytes_before, resources.model_bytes_after)
        ),
        increase="" if increase is None else f"+{increase:.4f}",
        memory=byte_size(resources.peak_bytes),
        time=words.time_range(found.time, resources.time_class),
        basis=words.basis(found.basis),
        floor=percent(found.floor.target_keep_ratio),
        notes=found.notes,
        rank_map=Markup(rank_map_svg([LayerReport(**layer.model_dump()) for layer in plan.layers])),
    )
