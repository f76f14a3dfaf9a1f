from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from core.data.columns import ColumnSummary
from core.data.tables import TableFormat
from core.data.values import Row
from core.database.tables import Dataset as DatasetTable

EXAMPLE = {
    "object": "dataset",
    "id": "ds_01jt0v3n8gq6y5zkx4w2c7r9ah",
    "name": "reviews.csv",
    "format": "csv",
    "bytes": 1048213,
    "sha256": "0f343b0931126a20f133d67c2b018a3b5e1f0b6f6f8b8f2d3c1a9e7d5b4c3a21",
    "rows": 12000,
    "columns": [
        {
            "name": "text",
            "type": "string",
            "missing": 0,
            "distinct": None,
            "examples": ["A quiet, lovely film."],
            "counts": None,
            "lengths": [{"up_to": 16, "rows": 210}, {"up_to": 32, "rows": 11790}],
            "members": None,
        },
        {
            "name": "label",
            "type": "string",
            "missing": 0,
            "distinct": 2,
            "examples": ["positive", "negative"],
            "counts": {"positive": 6210, "negative": 5790},
            "lengths": [{"up_to": 16, "rows": 12000}],
            "members": None,
        },
    ],
    "created_at": "2026-05-04T09:30:00Z",
}
PREVIEW_EXAMPLE = EXAMPLE | {"preview": [{"text": "A quiet, lovely film.", "label": "positive"}]}


class Dataset(BaseModel):
    """An uploaded table."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    object: Literal["dataset"] = "dataset"
    id: str
    name: str
    format: TableFormat
    bytes: int
    sha256: str
    rows: int
    columns: list[ColumnSummary]
    created_at: datetime

    @classmethod
    def of(cls, row: DatasetTable) -> "Dataset":
        return cls.model_validate(row, from_attributes=True)


class DatasetWithPreview(Dataset):
    """An uploaded table and its first rows."""

    preview: list[Row] | None
    """Null when the file is no longer stored."""
