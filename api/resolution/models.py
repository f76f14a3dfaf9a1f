"""The model that a recipe names: where it lies, and what its headers say. No weights are read."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy.orm import Session

from api.stored_models import StoredFiles, artifact_files, uploaded_files
from core.database.states import JobState
from core.database.tables import Job, UploadedModel
from core.errors import ModelError
from core.hub.client import Hub
from core.hub.model_files import RemoteFiles
from core.hub.tokens import project_token
from core.planning.artifacts import checkpoint_of_artifact
from core.planning.checkpoint import (
    WEIGHTS,
    Checkpoint,
    checkpoint_of,
    names_of,
    read_checkpoint,
    resolve_under_roots,
)
from core.planning.families import target_layers
from core.recipe.sources import HubModel, JobModel, ModelSource, PathModel, UploadModel
from core.settings import Settings
from core.storage.storage import Storage


@dataclass(frozen=True)
class ModelInput:
    source: ModelSource
    """The recipe's, pinned."""
    checkpoint: Checkpoint
    place: Mapping[str, Any]
    """Where the runner finds it: `model_path`; `model_upload` or `model_job` with `model_files`
    (name → storage key); or `model_hub` (id, commit, files)."""

    def inputs(self) -> dict[str, Any]:
        return {"model_path": None, "model_digest": self.checkpoint.digest, **self.place}


def resolve_model(
    source: ModelSource, project_id: str, session: Session, settings: Settings, storage: Storage
) -> ModelInput:
    """Raises ModelError, at the field of `source` that is to blame."""
    if isinstance(source, PathModel):
        found = _under_roots(source, settings)
    elif isinstance(source, HubModel):
        found = _on_hub(source, project_id, session, settings)
    elif isinstance(source, UploadModel):
        found = _uploaded(source, project_id, session, storage)
    else:
        found = _of_job(source, project_id, session, storage)
    pointer = "/model/path" if isinstance(source, PathModel) else "/model/id"
    _refuse_too_large(found.checkpoint, pointer, settings)
    with blamed_on(pointer):
        target_layers(found.checkpoint)
    return found


@contextmanager
def blamed_on(pointer: str) -> Iterator[None]:
    """What a model's files are refused for, at the recipe's field that names the model."""
    try:
        yield
    except ModelError as error:
        if error.pointer == "/model/path":
            error.pointer = pointer
        raise


def _under_roots(source: PathModel, settings: Settings) -> ModelInput:
    folder = resolve_under_roots(source.path, settings.model_roots)
    return ModelInput(source, read_checkpoint(folder), {"model_path": str(folder)})


def _on_hub(source: HubModel, project_id: str, session: Session, settings: Settings) -> ModelInput:
    token = project_token(session, project_id, settings)
    session.commit()  # the hub may take long to answer: nothing is held in the database meanwhile
    commit = Hub(settings.hub_endpoint, token).pin("model", source.id, source.revision)
    with blamed_on("/model/id"):
        checkpoint, names = _read_on_hub(settings.hub_endpoint, token, source.id, commit)
    place = {"model_hub": {"id": source.id, "commit": commit, "files": list(names)}}
    return ModelInput(source.model_copy(update={"revision": commit}), checkpoint, place)


@lru_cache(maxsize=256)
def _read_on_hub(
    endpoint: str, token: str | None, id: str, commit: str
) -> tuple[Checkpoint, tuple[str, ...]]:
    """Remembered: a commit never changes. The token opened it once."""
    files = RemoteFiles(Hub(endpoint, token), id, commit)
    return checkpoint_of(files), tuple(names_of(files))


def _uploaded(
    source: UploadModel, project_id: str, session: Session, storage: Storage
) -> ModelInput:
    row = session.get(UploadedModel, source.id)
    if row is None or row.project_id != project_id:
        raise ModelError(
            f"there is no uploaded model {source.id}",
            hint="upload it: POST /v1/models",
            pointer="/model/id",
        )
    files = uploaded_files(row, storage)
    with blamed_on("/model/id"):
        checkpoint = checkpoint_of(_all_there(files))
    return ModelInput(source, checkpoint, {"model_upload": row.id, "model_files": files.keys})


def _of_job(source: JobModel, project_id: str, session: Session, storage: Storage) -> ModelInput:
    job = session.get(Job, source.id)
    if job is None or job.project_id != project_id:
        raise ModelError(f"there is no job {source.id}", pointer="/model/id")
    if job.state != JobState.SUCCEEDED:
        raise ModelError(
            f"{source.id} has no result: it is {job.state}",
            hint="name a job that has succeeded",
            pointer="/model/id",
        )
    files = artifact_files(source.id, session, storage)
    with blamed_on("/model/id"):
        checkpoint = checkpoint_of_artifact(_all_there(files))
    return ModelInput(source, checkpoint, {"model_job": source.id, "model_files": files.keys})


def _all_there(files: StoredFiles) -> StoredFiles:
    if WEIGHTS not in files.names and "config.json" not in files.names:
        raise ModelError("nothing is stored of it", pointer="/model/id")
    gone = files.gone()
    if gone is not None:
        raise ModelError(f"its {gone} is no longer stored", pointer="/model/id")
    return files


def _refuse_too_large(checkpoint: Checkpoint, pointer: str, settings: Settings) -> None:
    if checkpoint.bytes > settings.max_model_bytes:
        raise ModelError(
            f"the model has {checkpoint.bytes:,} bytes; {settings.max_model_bytes:,} are taken",
            hint="the operator's setting RANKWISE_MAX_MODEL_BYTES",
            pointer=pointer,
        )
