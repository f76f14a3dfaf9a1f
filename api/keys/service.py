"""Issuing, revoking and recognizing API keys."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from api.pagination import PageRequest, Rows, fetch
from api.problems import not_found
from core import keys
from core.database.sessions import Sessions
from core.database.tables import ApiKey, now
from core.keys import Scope

DEFAULT_PROJECT = "prj_default"
"""Made by the first migration."""
USE_IS_NOTED_EVERY = timedelta(minutes=1)


def authenticate(read_sessions: Sessions, sessions: Sessions, token: str) -> ApiKey | None:
    """The row of a key that may be used now, or None; notes its use at most once a minute."""
    key = keys.parse(token)
    if key is None:
        return None
    with read_sessions() as session:
        row = session.get(ApiKey, key.id)
    if row is None or not keys.matches(key, row.secret_sha256) or not is_usable(row):
        return None
    if row.last_used_at is None or row.last_used_at < now() - USE_IS_NOTED_EVERY:
        with sessions.begin() as session:
            session.execute(update(ApiKey).where(ApiKey.id == row.id).values(last_used_at=now()))
    return row


def is_usable(row: ApiKey) -> bool:
    return row.revoked_at is None and (row.expires_at is None or row.expires_at > now())


def issue(
    session: Session,
    project_id: str,
    token: str,
    scopes: Sequence[Scope],
    name: str = "",
    expires_at: datetime | None = None,
) -> ApiKey:
    """Store a token's digest; the token itself is only ever in its owner's hands."""
    key = keys.parse(token)
    if key is None:
        raise ValueError("not a well-formed key: make one with core.keys.generate()")
    row = ApiKey(
        id=key.id,
        project_id=project_id,
        secret_sha256=key.sha256,
        name=name,
        scopes=list(scopes),
        expires_at=expires_at,
        created_at=now(),
    )
    session.add(row)
    session.flush()
    return row


def revoke(session: Session, project_id: str, id: str) -> None:
    row = session.get(ApiKey, id)
    if row is None or row.project_id != project_id:
        raise not_found("API key", id)
    row.revoked_at = row.revoked_at or now()


def listed(session: Session, project_id: str, page: PageRequest) -> Rows[ApiKey]:
    query = select(ApiKey).where(ApiKey.project_id == project_id)
    return fetch(session, query, ApiKey.created_at, ApiKey.id, page)


def ensure_bootstrap_key(sessions: Sessions, token: str) -> None:
    """Issue the admin key that the settings name, in the default project, if it is not there."""
    key = keys.parse(token)
    if key is None:
        raise ValueError("bootstrap_key is not well-formed: make one with core.keys.generate()")
    with sessions.begin() as session:
        if session.get(ApiKey, key.id) is None:
            issue(session, DEFAULT_PROJECT, token, ["admin"], name="bootstrap")
