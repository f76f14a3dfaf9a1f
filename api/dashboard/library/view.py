"""The project's datasets and models, as tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from api.dashboard import words
from api.dashboard.moment import Moment
from api.dashboard.new_job.form import value_of
from api.models.schemas import Model
from core.database.tables import Dataset
from core.reporting.numbers import compact, percent

SOURCES = {"upload": "uploaded", "path": "under a root", "job": "result of a job"}


@dataclass(frozen=True)
class DatasetLine:
    id: str
    name: str
    rows: str
    columns: str
    size: str
    created: Moment
    plan_href: str


@dataclass(frozen=True)
class ModelLine:
    id: str
    name: str
    source: str
    family: str
    params: str
    targets: str
    size: str
    created: Moment
    plan_href: str


def dataset_lines(rows: Sequence[Dataset], now: datetime) -> list[DatasetLine]:
    return [
        DatasetLine(
            id=row.id,
            name=row.name,
            rows=f"{row.rows:,}",
            columns=", ".join(column["name"] for column in row.columns),
            size=" ".join(words.size(row.bytes)),
            created=Moment.of(row.created_at, now),
            plan_href=f"/dashboard/new?{urlencode({'dataset': row.id})}",
        )
        for row in rows
    ]


def model_lines(models: Sequence[Model], now: datetime) -> list[ModelLine]:
    return [
        ModelLine(
            id=model.id,
            name=model.name or model.id,
            source=SOURCES[model.source.type],
            family=model.family,
            params=compact(model.params),
            targets=percent(model.target_params / model.params),
            size=" ".join(words.size(model.bytes)),
            created=Moment.of(model.created_at, now),
            plan_href=f"/dashboard/new?{urlencode({'model': value_of(model.source)})}",
        )
        for model in models
    ]
