"""Uploaded tables: checked row by row, stored, previewed, deleted."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.datasets.forms import UploadForm
from api.datasets.schemas import Dataset, DatasetWithPreview
from api.idempotency import Answer, Write
from api.pagination import PageRequest, Rows, fetch
from api.problems import FieldError, Problem, invalid_parameter, not_found
from core.data.confined import summarize_confined
from core.data.preview import TableSummary, first_rows
from core.data.tables import TableFormat, format_of
from core.data.values import Row
from core.database.identifiers import new_id
from core.database.states import FINISHED
from core.database.tables import Dataset as DatasetTable
from core.database.tables import Job, now
from core.errors import DataError
from core.storage.storage import Storage

MAX_NAME = 200


def prepare_upload(form: UploadForm, project_id: str, storage: Storage) -> Write:
    """Check and store the file; the write that is returned makes it a dataset."""
    format = form_format(form)
    summary, preview = _summarized(form, format)
    id = new_id("ds")
    row = DatasetTable(
        id=id,
        project_id=project_id,
        name=_name(form) or id,
        format=format,
        bytes=form.bytes,
        sha256=form.sha256,
        rows=summary.rows,
        columns=[column.model_dump(mode="json") for column in summary.columns],
        storage_key=f"datasets/{project_id}/{id}.{format}",
        created_at=now(),
    )
    storage.put_file(row.storage_key, form.path)
    return lambda session: _added(session, row, preview)


def form_format(form: UploadForm) -> TableFormat:
    """As the form says, else as the file's name says."""
    named = form.fields.get("format")
    format = format_of(form.file_name if named is None else f"table.{named}")
    if format is None:
        shown = form.file_name if named is None else named
        raise invalid_parameter(
            "format", f"{shown[:64]!r} names no known one", "csv, jsonl or parquet"
        )
    return format


def _name(form: UploadForm) -> str:
    name = form.fields.get("name", form.file_name)
    if len(name) > MAX_NAME:
        raise invalid_parameter("name", f"is longer than {MAX_NAME} characters")
    return name


def find(session: Session, project_id: str, id: str) -> DatasetTable | None:
    row = session.get(DatasetTable, id)
    return row if row is not None and row.project_id == project_id else None


def get(session: Session, project_id: str, id: str) -> DatasetTable:
    row = find(session, project_id, id)
    if row is None:
        raise not_found("dataset", id)
    return row


def with_preview(row: DatasetTable, storage: Storage) -> DatasetWithPreview:
    shown = Dataset.of(row)
    try:
        preview = first_rows(storage.path(row.storage_key), shown.format)
    except FileNotFoundError:
        preview = None
    return DatasetWithPreview(**shown.model_dump(), preview=preview)


def listed(session: Session, project_id: str, page: PageRequest) -> Rows[DatasetTable]:
    query = select(DatasetTable).where(DatasetTable.project_id == project_id)
    return fetch(session, query, DatasetTable.created_at, DatasetTable.id, page)


def delete(session: Session, project_id: str, id: str) -> str:
    """Remove the row of a dataset that no unfinished job reads; returns its file's storage key."""
    query = select(DatasetTable).where(DatasetTable.id == id).with_for_update()
    row = session.scalar(query.where(DatasetTable.project_id == project_id))
    if row is None:
        raise not_found("dataset", id)
    reader = session.scalar(_unfinished_readers(project_id, row.storage_key))
    if reader is not None:
        raise Problem("dataset_in_use", f"{reader} has not finished; cancel it first")
    session.delete(row)
    return row.storage_key


def _unfinished_readers(project_id: str, storage_key: str) -> Any:
    return (
        select(Job.id)
        .where(Job.project_id == project_id, Job.state.not_in(FINISHED))
        .where(Job.inputs["dataset_key"].as_string() == storage_key)
        .limit(1)
    )


def _summarized(form: UploadForm, format: TableFormat) -> tuple[TableSummary, list[Row]]:
    try:
        return summarize_confined(form.path, format)
    except DataError as error:
        field = FieldError(parameter="file", detail=error.message, code=error.code, hint=error.hint)
        raise Problem("data_refused", f"file: {error.message}", errors=[field]) from None


def _added(session: Session, row: DatasetTable, preview: list[Row]) -> Answer:
    session.add(row)
    session.flush()
    shown = DatasetWithPreview(**Dataset.of(row).model_dump(), preview=preview)
    location = {"Location": f"/v1/datasets/{row.id}"}
    return Answer(201, shown.model_dump(mode="json"), location)
