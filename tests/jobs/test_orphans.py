"""What no row names goes from storage; what a row names, or may yet name, stays."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from core.database.identifiers import made_at, new_id
from core.database.sessions import Sessions
from core.database.states import JobState
from core.database.tables import UploadedModel
from core.jobs.orphans import ABANDONED_AFTER_S, remove_orphans
from core.storage.local import LocalStorage
from tests.factories import DEFAULT_PROJECT, DIGEST, make_artifact, make_dataset, make_job

Put = Callable[[str], None]


@pytest.fixture
def put(storage: LocalStorage, tmp_path: Path) -> Put:
    source = tmp_path / "source"
    source.write_bytes(b"content")
    return lambda key: storage.put_file(key, source)


def identifier(prefix: str, monkeypatch: pytest.MonkeyPatch, age_s: float = 0.0) -> str:
    """As if made `age_s` ago."""
    moment = time.time_ns() - int(age_s * 1e9)
    with monkeypatch.context() as clock:
        clock.setattr("core.database.identifiers.time.time_ns", lambda: moment)
        return new_id(prefix)


def stored(storage: LocalStorage) -> set[str]:
    return {key for root in ("datasets", "models", "jobs") for key in storage.list_prefix(root)}


def test_an_identifier_says_when_it_was_made() -> None:
    assert abs(made_at(new_id("ds")) - time.time()) < 1


def test_uploads_without_a_row_go_after_a_day(
    sessions: Sessions, storage: LocalStorage, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = ABANDONED_AFTER_S
    with sessions.begin() as session:
        kept = make_dataset(session, id=identifier("ds", monkeypatch, 9 * day)).id
        model = UploadedModel(
            id=identifier("md", monkeypatch, 9 * day),
            project_id=DEFAULT_PROJECT,
            name="m",
            family="bert",
            params=1,
            bytes=7,
            digest=DIGEST,
            files=[],
            storage_prefix="any",
        )
        session.add(model)
        session.flush()
        kept_model = model.id
    young = identifier("ds", monkeypatch, day - 60)
    lost = identifier("ds", monkeypatch, day + 60)
    lost_model = identifier("md", monkeypatch, day + 60)
    project = identifier("prj", monkeypatch, 9 * day)
    stays = {
        f"datasets/{project}/{kept}.csv",
        f"datasets/{project}/{young}.csv",
        f"models/{project}/{kept_model}/config.json",
        "models/notes.txt",
        "datasets/prj_default/readme",
    }
    goes = {
        f"datasets/{project}/{lost}.csv",
        f"models/{project}/{lost_model}/config.json",
        f"models/{project}/{lost_model}/deep/model.safetensors",
    }
    for key in stays | goes:
        put(key)
    assert remove_orphans(sessions, storage) == [
        f"datasets/{project}/{lost}.csv",
        f"models/{project}/{lost_model}",
    ]
    assert stored(storage) == stays
    assert remove_orphans(sessions, storage) == []


def test_what_attempts_stored_and_did_not_publish_goes(
    sessions: Sessions, storage: LocalStorage, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sessions.begin() as session:
        running = make_job(session, state=JobState.RUNNING, epoch=2).id
        queued = make_job(session, epoch=1).id
        done = make_job(session, state=JobState.SUCCEEDED, epoch=3)
        make_artifact(session, done, epoch=3, storage_key=f"jobs/{done.id}/e3/f")
        published = done.id
    deleted = identifier("job", monkeypatch, ABANDONED_AFTER_S + 60)
    unseen = identifier("job", monkeypatch)
    stays = {f"jobs/{running}/e2/f", f"jobs/{published}/e3/f", f"jobs/{unseen}/e1/f"}
    goes = {
        f"jobs/{running}/e1/f",
        f"jobs/{queued}/e1/deep/f",
        f"jobs/{published}/e2/f",
        f"jobs/{deleted}/e1/f",
    }
    for key in stays | goes:
        put(key)
    assert len(remove_orphans(sessions, storage)) == len(goes)
    assert stored(storage) == stays
