"""What the models of a project look like, from their headers: nothing is read whole, or hashed."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.models.schemas import ModelWithTargets, Target
from core.database.tables import Artifact, Job, UploadedModel
from core.errors import ModelError
from core.planning.artifacts import READ_FILES, checkpoint_of_artifact
from core.planning.checkpoint import Checkpoint, checkpoint_of
from core.planning.families import target_layers
from core.planning.model_files import LocalFiles, files_in
from core.recipe.sources import JobModel, ModelSource, PathModel, UploadModel
from core.settings import Settings
from core.storage.storage import Storage

MOST_FOLDERS = 500
"""Under all roots; more are not looked at."""
Sketch = Callable[[LocalFiles], Checkpoint]


def of_upload(row: UploadedModel, storage: Storage) -> ModelWithTargets | None:
    """None: its files are no longer stored."""
    keys = {file["name"]: f"{row.storage_prefix}/{file['name']}" for file in row.files}
    source = UploadModel(id=row.id)
    return _stored(row.id, row.name, source, row.created_at, keys, storage, _as_it_is)


def of_job(job: Job, session: Session, storage: Storage) -> ModelWithTargets | None:
    """The result of a succeeded job; None where its artifact is no longer stored."""
    query = select(Artifact.name, Artifact.storage_key).where(Artifact.job_id == job.id)
    keys = {name: key for name, key in session.execute(query) if name in READ_FILES}
    when = job.finished_at or job.created_at
    return _stored(job.id, job.name, JobModel(id=job.id), when, keys, storage, _as_dense)


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
    id: str,
    name: str,
    source: ModelSource,
    when: datetime,
    keys: Mapping[str, str],
    storage: Storage,
    sketch: Sketch,
) -> ModelWithTargets | None:
    if not keys or not all(map(storage.exists, keys.values())):
        return None
    files = LocalFiles({file: storage.path(key) for file, key in keys.items()})
    try:
        return _shown(id, name, source, when, sketch(files))
    except (ModelError, OSError):
        return None


def _as_it_is(files: LocalFiles) -> Checkpoint:
    return checkpoint_of(files, hashed=False)


def _as_dense(files: LocalFiles) -> Checkpoint:
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
