"""Models as callers see them: uploaded, listed, looked at, deleted."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.idempotency import Answer, Write
from api.models import catalogue
from api.models.forms import ModelForm
from api.models.schemas import Model, ModelWithTargets
from api.pagination import PageRequest, Rows, decode, encode, fetch
from api.problems import FieldError, Problem, not_found
from core.database.identifiers import new_id
from core.database.states import FINISHED, JobState
from core.database.tables import Job, UploadedModel, now
from core.errors import ModelError
from core.jobs.orphans import discard
from core.planning.checkpoint import VOCABULARIES, Checkpoint, checkpoint_of
from core.planning.families import target_layers
from core.planning.model_files import LocalFiles
from core.settings import Settings
from core.storage.storage import Storage


def prepare_upload(form: ModelForm, project_id: str, storage: Storage, settings: Settings) -> Write:
    """Check the headers and store the files; the write that is returned makes them a model."""
    checkpoint = _checked(form, settings)
    id = new_id("md")
    row = UploadedModel(
        id=id,
        project_id=project_id,
        name=form.name or id,
        family=checkpoint.model_type,
        params=checkpoint.params,
        bytes=checkpoint.bytes,
        digest=checkpoint.digest,
        files=[
            {"name": name, "bytes": file.bytes, "sha256": file.sha256}
            for name, file in sorted(form.files.items())
        ],
        storage_prefix=f"models/{project_id}/{id}",
        created_at=now(),
    )
    _store(form, row.storage_prefix, storage)
    return lambda session: _added(session, row, storage)


def _checked(form: ModelForm, settings: Settings) -> Checkpoint:
    """From the headers of the safetensors; the refusal names the form's field."""
    try:
        if not VOCABULARIES & form.files.keys():
            raise ModelError(
                "the model has no tokenizer",
                hint=f"send one of {', '.join(sorted(VOCABULARIES))} too",
            )
        checkpoint = checkpoint_of(LocalFiles({n: f.path for n, f in form.files.items()}))
        target_layers(checkpoint)
        if checkpoint.bytes > settings.max_model_bytes:
            raise ModelError(f"the model is over {settings.max_model_bytes:,} bytes")
    except ModelError as error:
        field = FieldError(
            parameter="files", detail=error.message, code=error.code, hint=error.hint
        )
        raise Problem("model_refused", f"files: {error.message}", errors=[field]) from None
    return checkpoint


def _store(form: ModelForm, prefix: str, storage: Storage) -> None:
    """All of them, or none."""
    try:
        for name, file in form.files.items():
            storage.put_file(f"{prefix}/{name}", file.path)
    except BaseException:
        discard(storage, prefix)
        raise


def _added(session: Session, row: UploadedModel, storage: Storage) -> Answer:
    session.add(row)
    session.flush()
    shown = catalogue.of_upload(row, storage)
    assert shown is not None, "the files were stored and checked"
    return Answer(201, shown.model_dump(mode="json"), {"Location": f"/v1/models/{row.id}"})


def listed(
    session: Session, project_id: str, page: PageRequest, storage: Storage, settings: Settings
) -> Rows[Model]:
    """One page of all three kinds, merged by time."""
    uploads = fetch(
        session,
        select(UploadedModel).where(UploadedModel.project_id == project_id),
        UploadedModel.created_at,
        UploadedModel.id,
        page,
    )
    jobs = fetch(session, _with_result(project_id), Job.finished_at, Job.id, page)  # type: ignore[arg-type]
    found = [
        *(catalogue.of_upload(row, storage) for row in uploads.rows),
        *(catalogue.of_job(row, session, storage) for row in jobs.rows),
        *_behind(page, catalogue.under_roots(settings)),
    ]
    models = sorted(filter(None, found), key=_position, reverse=page.order == "desc")
    ends = [decode(cursor) for cursor in (uploads.next_cursor, jobs.next_cursor) if cursor]
    if ends:  # beyond the first end another page of that kind may hold nearer ones
        end = max(ends) if page.order == "desc" else min(ends)
        models = [model for model in models if not _is_behind(page, _position(model), end)]
    if len(models) > page.limit:
        end, models = _position(models[page.limit - 1]), models[: page.limit]
        return Rows(models, encode(*end))
    return Rows(models, encode(*end) if ends else None)


def _with_result(project_id: str) -> Any:
    return select(Job).where(Job.project_id == project_id, Job.state == JobState.SUCCEEDED)


def _behind(page: PageRequest, models: list[ModelWithTargets]) -> list[ModelWithTargets]:
    """Those that the page's cursor has not passed."""
    if page.after is None:
        return models
    last = decode(page.after)
    return [model for model in models if _is_behind(page, _position(model), last)]


def _is_behind(page: PageRequest, position: Any, other: Any) -> bool:
    return bool(position < other if page.order == "desc" else position > other)


def _position(model: Model) -> Any:
    return model.created_at, model.id


def get(
    session: Session, project_id: str, id: str, storage: Storage, settings: Settings
) -> ModelWithTargets:
    found = None
    if id.startswith("path_"):
        found = next((each for each in catalogue.under_roots(settings) if each.id == id), None)
    elif id.startswith("job_"):
        job = session.scalar(_with_result(project_id).where(Job.id == id))
        found = job and catalogue.of_job(job, session, storage)
    else:
        row = session.get(UploadedModel, id)
        if row is not None and row.project_id == project_id:
            found = catalogue.of_upload(row, storage)
    if found is None:
        raise not_found("model", id)
    return found


def delete(session: Session, project_id: str, id: str) -> str:
    """Remove the row of an upload that no unfinished job uses; returns its files' prefix."""
    query = select(UploadedModel).where(UploadedModel.id == id).with_for_update()
    row = session.scalar(query.where(UploadedModel.project_id == project_id))
    if row is None:
        raise not_found("uploaded model", id)
    user = session.scalar(
        select(Job.id)
        .where(Job.project_id == project_id, Job.state.not_in(FINISHED))
        .where(Job.inputs["model_upload"].as_string() == id)
        .limit(1)
    )
    if user is not None:
        raise Problem("model_in_use", f"{user} has not finished; cancel it first")
    session.delete(row)
    return row.storage_prefix


def hold(session: Session, source: Any) -> None:
    """Keep an uploaded model from being deleted before the job that reads it is there."""
    if source.type != "upload":
        return
    query = select(UploadedModel.id).where(UploadedModel.id == source.id)
    if session.scalar(query.with_for_update()) is None:
        raise ModelError("the model has just been deleted", pointer="/model/id")
