"""What the models of a project look like, from their headers: nothing is read whole, or hashed."""

import hashlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from pathlib import Path

from sqlalchemy.orm import Session

from api.models.schemas import ModelWithTargets, Target
from api.stored_models import StoredFiles, artifact_files, uploaded_files
from core.database.tables import Job, UploadedModel
from core.errors import ModelError
from core.planning.artifacts import checkpoint_of_artifact
from core.planning.checkpoint import Checkpoint, checkpoint_of
from core.planning.families import target_layers
from core.planning.model_files import ModelFiles, files_in
from core.recipe.sources import JobModel, ModelSource, PathModel, UploadModel
from core.settings import Settings
from core.storage.storage import Storage

MOST_FOLDERS = 500
"""Under all roots; more are not looked at."""
Sketch = Callable[[ModelFiles], Checkpoint]


def of_upload(row: UploadedModel, storage: Storage) -> ModelWithTargets | None:
    """None: its files are no longer stored."""
    files = uploaded_files(row, storage)
    return _stored(row.id, row.name, UploadModel(id=row.id), row.created_at, files, _as_it_is)


def of_job(job: Job, session: Session, storage: Storage) -> ModelWithTargets | None:
    """The result of a succeeded job; None where its artifact is no longer stored."""
    files = artifact_files(job.id, session, storage)
    when = job.finished_at or job.created_at
    return _stored(job.id, job.name, JobModel(id=job.id), when, files, _as_dense)


def under_roots(settings: Settings) -> list[ModelWithTargets]:
    """Folders one or two levels below a root that a recipe may name; others are left out."""
    found = islice(_folders(settings), MOST_FOLDERS)
    shown = (_of_folder(folder, _mtime_ns(folder)) for folder in found)
    return [model for model in shown if model is not None]


def _folders(settings: Settings) -> Iterator[Path]:
    for root in settings.model_roots:
        resolved = root.resolve()
        for pattern in ("*/config.json", "*/*/config.json"):
            folders = sorted(path.parent for path in resolved.glob(pattern))
            yield from (folder for folder in folders if not _passes_a_link(folder, resolved))


def _passes_a_link(folder: Path, root: Path) -> bool:
    below = [folder, *folder.parents][: len(folder.relative_to(root).parts)]
    return any(path.is_symlink() for path in below)


def _mtime_ns(folder: Path) -> int:
    return max((path.stat().st_mtime_ns for path in folder.iterdir() if path.is_file()), default=0)


@lru_cache(maxsize=2 * MOST_FOLDERS)
def _of_folder(folder: Path, mtime_ns: int) -> ModelWithTargets | None:
    """Remembered for as long as no file of it changes."""
    id = f"path_{hashlib.sha256(str(folder).encode()).hexdigest()[:26]}"
    when = datetime.fromtimestamp(mtime_ns / 1e9, UTC)
    try:
        checkpoint = checkpoint_of(files_in(folder), hashed=False)
        return _shown(id, folder.name, PathModel(path=str(folder)), when, checkpoint)
    except (ModelError, OSError):
        return None


def _stored(
    id: str, name: str, source: ModelSource, when: datetime, files: StoredFiles, sketch: Sketch
) -> ModelWithTargets | None:
    if not files.names or files.gone() is not None:
        return None
    try:
        return _shown(id, name, source, when, sketch(files))
    except (ModelError, OSError):
        return None


def _as_it_is(files: ModelFiles) -> Checkpoint:
    return checkpoint_of(files, hashed=False)


def _as_dense(files: ModelFiles) -> Checkpoint:
    return checkpoint_of_artifact(files, hashed=False)


def _shown(
    id: str, name: str, source: ModelSource, when: datetime, checkpoint: Checkpoint
) -> ModelWithTargets:
    layers = target_layers(checkpoint)
    targets = [
        Target(
            name=layer.name,
            out_features=layer.out_features,
            in_features=layer.in_features,
            params=layer.params,
        )
        for layer in layers
    ]
    return ModelWithTargets.model_validate(
        {
            "id": id,
            "name": name,
            "source": source.model_dump(),
            "family": checkpoint.model_type,
            "params": checkpoint.params,
            "target_params": sum(layer.params for layer in layers),
            "bytes": checkpoint.bytes,
            "created_at": when,
            "targets": targets,
        }
    )
