"""Inputs brought to a runner's workspace: from storage, from an artifact, from a hub."""

import fcntl
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants
from sqlalchemy.orm import Session

from core.compression.export.artifact import write_artifact
from core.database.sessions import Sessions
from core.database.tables import HubToken
from core.errors import ModelError
from core.hub.tokens import encrypt
from core.jobs.claims import Claim, ClaimedJob
from core.planning.artifacts import checkpoint_of_artifact
from core.planning.checkpoint import names_of, read_checkpoint
from core.planning.model_files import files_in
from core.recipe.events import Event, StageProgress
from core.settings import Settings
from core.storage.local import LocalStorage
from tests.factories import DEFAULT_PROJECT, make_inputs, make_recipe
from tests.hub.server import StandInHub
from tests.planning.checkpoints import write_bert
from worker import inputs
from worker.assignment import Assignment, HubFiles, StoredFiles
from worker.inputs import bring_dataset, bring_model
from worker.sources import Sources

COMMIT = "c" * 40


@pytest.fixture
def hub() -> Generator[StandInHub, None, None]:
    with StandInHub() as hub:
        yield hub


def assignment(tmp_path: Path, **changes: Any) -> Assignment:
    values: dict[str, Any] = {
        "job_id": "job_1",
        "epoch": 1,
        "recipe": make_recipe().model_dump(mode="json"),
        "directory": tmp_path / "workspace",
        "cache": tmp_path / "cache",
        "model": tmp_path,
        "dataset": tmp_path,
        "device": "cpu",
        "threads": 1,
        "events_fd": -1,
    }
    return Assignment(**values | changes)


def on_hub(hub: StandInHub, tmp_path: Path, commit: str, **changes: Any) -> HubFiles:
    values: dict[str, Any] = {
        "kind": "model",
        "id": "org/tiny",
        "commit": commit,
        "files": {"": ("config.json", "model.safetensors", "vocab.txt")},
        "endpoint": hub.url,
        "cache": tmp_path / "hub",
        "cache_max_bytes": 1 << 30,
    }
    return HubFiles(**values | changes)


def ran(bringing: Generator[Event, None, Path]) -> tuple[Path, list[Event]]:
    events = []
    while True:
        try:
            events.append(next(bringing))
        except StopIteration as end:
            return end.value, events


def test_a_path_is_taken_as_it_is(tmp_path: Path) -> None:
    assert ran(bring_model(assignment(tmp_path))) == (tmp_path, [])
    assert ran(bring_dataset(assignment(tmp_path))) == (tmp_path, [])


def test_an_uploads_files_become_one_folder(tmp_path: Path) -> None:
    stored = write_bert(tmp_path / "stored")
    names = names_of(files_in(stored))
    given = assignment(tmp_path, model=StoredFiles(files={n: stored / n for n in names}))
    folder, events = ran(bring_model(given))
    assert events == []
    assert read_checkpoint(folder) == read_checkpoint(stored)
    assert ran(bring_model(given))[0] == folder


@pytest.mark.parametrize("factored", [False, True])
def test_a_model_that_was_deleted_since_is_refused(tmp_path: Path, factored: bool) -> None:
    files = {"config.json": tmp_path / "stored" / "config.json"}
    given = assignment(tmp_path, model=StoredFiles(files=files, factored=factored))
    with pytest.raises(ModelError, match="no longer stored"):
        ran(bring_model(given))


def test_an_artifacts_factors_are_multiplied_back(tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification

    from core.compression.export.loading import load_artifact
    from tests.compression.export.tiny_artifacts import contents_for

    artifact = tmp_path / "artifact"
    write_artifact(artifact, contents_for("bert"))
    names = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
    files = {name: artifact / name for name in names}
    folder, _ = ran(
        bring_model(assignment(tmp_path, model=StoredFiles(files=files, factored=True)))
    )
    found, planned = read_checkpoint(folder), checkpoint_of_artifact(files_in(artifact))
    assert found.model_type == planned.model_type
    assert (found.tensors, found.params) == (planned.tensors, planned.params)
    tokens = torch.tensor([[1, 2, 3, 4]])
    dense = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        expected = load_artifact(artifact)(tokens).logits
        torch.testing.assert_close(dense(tokens).logits, expected)
    assert (folder / "tokenizer.json").read_bytes() == (artifact / "tokenizer.json").read_bytes()


def test_a_hubs_model_is_downloaded_once_and_shared(
    hub: StandInHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)  # as in a runner
    served = write_bert(tmp_path / "served")
    wanted = on_hub(hub, tmp_path, hub.add("model", "org/tiny", served))
    wanted = wanted.model_copy(update={"digest": read_checkpoint(served).digest})
    folder, events = ran(bring_model(assignment(tmp_path, model=wanted)))
    assert read_checkpoint(folder) == read_checkpoint(served)
    last = events[-1]
    assert isinstance(last, StageProgress)
    assert (last.stage, last.unit, last.done) == ("resolve", "byte", last.total)
    assert constants.HF_HUB_OFFLINE
    hub.requests.clear()
    other = assignment(tmp_path, model=wanted, directory=tmp_path / "another")
    ran(bring_model(other))
    assert not [path for _, path, _ in hub.requests if "/resolve/" in path]
    hub.requests.clear()
    assert ran(bring_model(other)) == (tmp_path / "another" / "inputs" / "model", [])
    assert hub.requests == []


def test_another_model_than_was_submitted_is_refused(hub: StandInHub, tmp_path: Path) -> None:
    wanted = on_hub(hub, tmp_path, hub.add("model", "org/tiny", write_bert(tmp_path / "served")))
    wanted = wanted.model_copy(update={"digest": "0" * 64})
    with pytest.raises(ModelError) as caught:
        ran(bring_model(assignment(tmp_path, model=wanted)))
    assert caught.value.pointer == "/model/id"
    assert not (tmp_path / "workspace" / "inputs" / "model").exists()
    assert list((tmp_path / "hub" / "models").rglob("*.safetensors")) == []


def test_while_another_job_downloads_this_one_waits_and_can_be_stopped(
    hub: StandInHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "LOOK_AGAIN_S", 0.01)
    wanted = on_hub(hub, tmp_path, hub.add("model", "org/tiny", write_bert(tmp_path / "served")))
    locks = tmp_path / "hub" / ".locks"
    locks.mkdir(parents=True)
    holder = os.open(locks / f"models--org--tiny--{wanted.commit}", os.O_CREAT | os.O_RDWR)
    fcntl.flock(holder, fcntl.LOCK_EX)
    bringing = bring_model(assignment(tmp_path, model=wanted))
    for _ in range(3):
        waiting = next(bringing)
        assert isinstance(waiting, StageProgress)
        assert waiting.unit == "download of another job"
    os.close(holder)
    folder, _ = ran(bringing)
    assert (folder / "config.json").exists()


def test_a_hubs_dataset_becomes_a_folder_of_splits(hub: StandInHub, tmp_path: Path) -> None:
    served = tmp_path / "served" / "data"
    served.mkdir(parents=True)
    for name in ("train-0.parquet", "train-1.parquet", "test-0.parquet"):
        (served / name).write_bytes(name.encode())
    files = {
        "train": ("data/train-1.parquet", "data/train-0.parquet"),
        "test": ("data/test-0.parquet",),
    }
    commit = hub.add("dataset", "org/texts", served.parent)
    wanted = on_hub(hub, tmp_path, commit, kind="dataset", id="org/texts", files=files)
    folder, _ = ran(bring_dataset(assignment(tmp_path, dataset=wanted)))
    found = {p.relative_to(folder).as_posix(): p.read_text() for p in folder.rglob("*.parquet")}
    assert found == {
        "train/00000-train-1.parquet": "train-1.parquet",
        "train/00001-train-0.parquet": "train-0.parquet",
        "test/00000-test-0.parquet": "test-0.parquet",
    }


def claimed(**changes: Any) -> ClaimedJob:
    recipe = make_recipe().model_dump(mode="json")
    given = make_inputs(model_path=None, **changes)
    return ClaimedJob(Claim("job_1", 1), DEFAULT_PROJECT, "default", recipe, given)


def give_token(session: Session, settings: Settings) -> None:
    encrypted = encrypt("hf_secret", settings)
    session.add(HubToken(id="ht_1", project_id=DEFAULT_PROJECT, encrypted=encrypted))


def test_the_supervisor_tells_where_things_are(
    sessions: Sessions, settings: Settings, storage: LocalStorage, tmp_path: Path
) -> None:
    config = tmp_path / "config.json"
    config.write_text("{}")
    storage.put_file("jobs/job_0/e1/config.json", config)
    with sessions.begin() as session:
        give_token(session, settings)
    hub = {"id": "org/tiny", "commit": COMMIT, "files": ["config.json"]}
    model = Sources(claimed(model_hub=hub), storage, settings, sessions, tmp_path).model()
    assert isinstance(model, HubFiles)
    assert (model.token, model.endpoint) == ("hf_secret", settings.hub_endpoint)
    assert (model.id, model.commit, model.files) == ("org/tiny", COMMIT, {"": ("config.json",)})
    assert "hf_secret" not in repr(model)
    told = Assignment.model_validate_json(
        assignment(settings.data_dir, model=model).model_dump_json()
    )
    assert told.model == model
    keys = {"config.json": "jobs/job_0/e1/config.json"}
    given = claimed(model_job="job_0", model_files=keys)
    stored = Sources(given, storage, settings, sessions, tmp_path).model()
    paths = {"config.json": tmp_path / "inputs" / "stored" / "model" / "config.json"}
    assert stored == StoredFiles(files=paths, factored=True)
    assert paths["config.json"].read_text() == "{}"
    key = {"dataset_key": "datasets/p/ds_1.csv", "dataset_path": None}
    gone = Sources(claimed(**key), storage, settings, sessions, tmp_path).dataset()
    assert gone == tmp_path / "inputs" / "stored" / "dataset.csv"
    assert not gone.exists()
    hub_data = {"id": "org/texts", "commit": COMMIT, "files": {"train": ["0.parquet"]}}
    on_hub = claimed(dataset_hub=hub_data)
    dataset = Sources(on_hub, storage, settings, sessions, tmp_path).dataset()
    assert isinstance(dataset, HubFiles)
    assert (dataset.kind, dataset.files) == ("dataset", {"train": ("0.parquet",)})
