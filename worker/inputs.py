"""A job's model and dataset, brought to this host before the pipeline runs.

The pipeline sees plain local folders. Whatever had to be fetched or put together lies in the job's
workspace under `inputs`, whole or not at all, and is found there by the next attempt.
"""

import os
import shutil
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import constants

from core.errors import ModelError
from core.hub.cache import HubCache
from core.hub.client import Fetched, Hub
from core.planning.checkpoint import read_checkpoint
from core.recipe.events import Event, StageProgress
from worker.assignment import Assignment, HubFiles, StoredFiles

STAGE = "resolve"
"""The stage whose progress a download is shown as."""
LOOK_AGAIN_S = 1.0

Bringing = Generator[Event, None, Path]


def bring_model(assignment: Assignment) -> Bringing:
    """The folder of the dense model, once it is there."""
    model, folder = assignment.model, assignment.directory / "inputs" / "model"
    if isinstance(model, Path):
        return model
    if isinstance(model, HubFiles):
        yield from _download(model, folder)
    elif not folder.exists():
        _put_together(model, folder)
    return folder


def bring_dataset(assignment: Assignment) -> Bringing:
    """The file, or for a hub's dataset the folder with one sub-folder for each split."""
    dataset, folder = assignment.dataset, assignment.directory / "inputs" / "dataset"
    if isinstance(dataset, Path):
        return dataset
    yield from _download(dataset, folder)
    return folder


def _put_together(model: StoredFiles, folder: Path) -> None:
    """An upload as it is; an artifact with its factors multiplied back."""
    gone = next((name for name, path in model.files.items() if not path.exists()), None)
    if gone is not None and not (model.factored and folder.with_name("artifact").exists()):
        raise ModelError(f"the model's {gone} is no longer stored", pointer="/model/id")
    if not model.factored:
        _appear(folder, lambda draft: _link_all(model.files, draft))
        return
    from core.compression.export.dense_folder import write_dense_folder

    artifact = folder.with_name("artifact")
    if not artifact.exists():
        _appear(artifact, lambda draft: _link_all(model.files, draft))
    _appear(folder, lambda draft: write_dense_folder(artifact, draft))


def _download(wanted: HubFiles, folder: Path) -> Iterator[Event]:
    """Into the cache that all jobs share, one job at a time for each commit, and from there."""
    cache = HubCache(wanted.cache, wanted.cache_max_bytes)
    commit = cache.folder(wanted.kind, wanted.id, wanted.commit)
    while not folder.exists():
        with cache.held(commit) as is_ours:
            if is_ours:
                yield from _fetch(wanted, commit)
                _refuse_other_files(commit, wanted.digest)
                _appear(folder, lambda draft: _link_all(_placed(wanted, commit), draft))
                continue
        yield StageProgress(stage=STAGE, done=0, total=1, unit="download of another job")
        time.sleep(LOOK_AGAIN_S)
    cache.evict()


def _fetch(wanted: HubFiles, commit: Path) -> Iterator[Event]:
    hub = Hub(wanted.endpoint, wanted.token)
    names = [name for files in wanted.files.values() for name in files]
    with _online():
        for fetched in hub.fetch(wanted.kind, wanted.id, wanted.commit, names, commit):
            yield _progress(fetched)


def _progress(fetched: Fetched) -> StageProgress:
    return StageProgress(stage=STAGE, done=fetched.done, total=fetched.total, unit="byte")


def _placed(wanted: HubFiles, commit: Path) -> dict[str, Path]:
    """Path in the run's folder → file in the cache.

    A model's files keep their names; a split's are numbered in the order that the hub listed.
    """
    if wanted.kind == "model":
        return {name: commit / name for name in wanted.files[""]}
    return {
        f"{split}/{number:05}-{Path(name).name}": commit / name
        for split, names in wanted.files.items()
        for number, name in enumerate(names)
    }


def _refuse_other_files(commit: Path, digest: str | None) -> None:
    if digest is not None and read_checkpoint(commit).digest != digest:
        shutil.rmtree(commit)
        raise ModelError(
            "the hub's files are not those that the job was submitted with",
            hint="submit the recipe again",
            pointer="/model/id",
        )


@contextmanager
def _online() -> Iterator[None]:
    """Libraries in a runner are kept offline; this download alone may go out."""
    before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, False
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _appear(folder: Path, write: Callable[[Path], None]) -> None:
    """Whole under its name, or not at all."""
    draft = folder.with_name(f".{folder.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.parent.mkdir(parents=True, exist_ok=True)
    write(draft)
    draft.rename(folder)


def _link_all(files: Mapping[str, Path], folder: Path) -> None:
    for name, source in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, target)
        except OSError:
            shutil.copyfile(source, target)
