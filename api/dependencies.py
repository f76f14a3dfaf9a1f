"""What endpoints ask for: the caller, sessions, settings, storage."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.orm import Session

from api.keys import service as keys
from api.problems import Problem
from api.rate_limits import RateLimiter
from core import keys as tokens
from core.database.sessions import Sessions
from core.keys import Scope
from core.settings import Settings
from core.storage.storage import Storage

bearer = HTTPBearer(
    auto_error=False, scheme_name="ApiKey", description="`Authorization: Bearer rw_…`"
)
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]


@dataclass(frozen=True)
class Caller:
    """Who asks: a project, by one of its keys."""

    project_id: str
    key_id: str
    scopes: frozenset[Scope]

    @staticmethod
    def require(scope: Scope) -> "Requirement":
        """A dependency that yields the caller, or refuses one without this scope."""
        return Requirement(scope)


@dataclass(frozen=True)
class Requirement:
    scope: Scope

    def __call__(
        self,
        request: Request,
        credentials: Credentials,
    ) -> Caller:
        caller = identified(request, credentials.credentials if credentials else "")
        if self.scope not in caller.scopes:
            raise Problem("missing_scope", f"this needs a key with the scope {self.scope!r}")
        return caller


def identified(request: Request, token: str) -> Caller:
    """The caller that a bearer token belongs to; 401 for any other token."""
    state = request.app.state
    row = keys.authenticate(state.read_sessions, state.sessions, token)
    if row is None:
        challenge = {"WWW-Authenticate": 'Bearer realm="rankwise"'}
        detail = "send a key that is neither revoked nor expired: Authorization: Bearer rw_…"
        raise Problem("unauthorized", detail, headers=challenge)
    _refuse_haste(state.rate_limiter, row.id)
    return Caller(row.project_id, row.id, tokens.implied(row.scopes))


def _refuse_haste(limiter: RateLimiter, key_id: str) -> None:
    wait_s = limiter.take(key_id)
    if wait_s > 0:
        detail = f"a key may make {limiter.per_s:g} requests a second"
        raise Problem("rate_limited", detail, headers={"Retry-After": str(ceil(wait_s))})


Reader = Annotated[Caller, Depends(Caller.require("read"))]
Submitter = Annotated[Caller, Depends(Caller.require("submit"))]
Admin = Annotated[Caller, Depends(Caller.require("admin"))]


def reading(request: Request) -> Iterator[Session]:
    with request.app.state.read_sessions() as session:
        yield session


def writing(request: Request) -> Iterator[Session]:
    """One transaction, committed before the answer is sent."""
    with request.app.state.sessions.begin() as session:
        yield session


Reading = Annotated[Session, Depends(reading, scope="function")]
"""Closed before the answer is sent: a stream must not hold a transaction open."""
Writing = Annotated[Session, Depends(writing, scope="function")]


def current_settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


def current_sessions(request: Request) -> Sessions:
    sessions: Sessions = request.app.state.sessions
    return sessions


def current_storage(request: Request) -> Storage:
    storage: Storage = request.app.state.storage
    return storage


CurrentSettings = Annotated[Settings, Depends(current_settings)]
CurrentSessions = Annotated[Sessions, Depends(current_sessions)]
CurrentStorage = Annotated[Storage, Depends(current_storage)]
