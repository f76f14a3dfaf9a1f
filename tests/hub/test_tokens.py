"""A hub token in the database: encrypted, and readable with the right key alone."""

import stat

import pytest
from sqlalchemy.orm import Session

from core.database.sessions import Sessions
from core.database.tables import HubToken
from core.hub.tokens import encrypt, project_token
from core.settings import Settings
from tests.factories import DEFAULT_PROJECT, make_project

TOKEN = "hf_canary"


def store(session: Session, encrypted: str) -> None:
    session.add(HubToken(id="ht_1", project_id=DEFAULT_PROJECT, encrypted=encrypted))
    session.flush()


def test_a_token_comes_back_for_its_own_project_only(
    sessions: Sessions, settings: Settings
) -> None:
    with sessions.begin() as session:
        make_project(session, id="prj_other")
        assert project_token(session, DEFAULT_PROJECT, settings) is None
        encrypted = encrypt(TOKEN, settings)
        assert TOKEN not in encrypted
        store(session, encrypted)
        assert project_token(session, DEFAULT_PROJECT, settings) == TOKEN
        assert project_token(session, "prj_other", settings) is None


def test_the_made_key_is_kept_and_its_owners_alone(settings: Settings) -> None:
    first = encrypt(TOKEN, settings)
    file = settings.data_dir / "secret-key"
    content = file.read_bytes()
    assert len(content) == 32
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert encrypt(TOKEN, settings) != first  # a nonce of its own each time
    assert file.read_bytes() == content


@pytest.mark.parametrize("key", ["", "a configured key"])
def test_another_key_reads_nothing(sessions: Sessions, settings: Settings, key: str) -> None:
    written = settings.model_copy(update={"secret_key": key})
    with sessions.begin() as session:
        store(session, encrypt(TOKEN, written))
        assert project_token(session, DEFAULT_PROJECT, written) == TOKEN
        other = settings.model_copy(update={"secret_key": "another"})
        assert project_token(session, DEFAULT_PROJECT, other) is None
