"""Idempotency-Key: a POST that is sent again gets the first one's answer and does nothing.

The key's row is committed before the work begins: of two requests at once the unique
constraint lets one through. Its rows and its answer are then committed together. A request that
is refused or fails leaves nothing behind, its key included.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, Any

from fastapi import Header, Request
from fastapi.responses import JSONResponse
from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from api.dependencies import Caller
from api.problems import Problem
from core.database.sessions import Sessions
from core.database.tables import IdempotencyRecord, now
from core.jobs.collection import ANSWERS_KEPT_S

KEPT_FOR = timedelta(seconds=ANSWERS_KEPT_S)
ABANDONED_AFTER = timedelta(minutes=10)
"""A key in flight for this long belonged to a process that died."""

KeyHeader = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="Sent again with the same body within 24 hours, the request does nothing "
        "and gets the first answer. Any unique text; a UUID is a good one.",
    ),
]


@dataclass(frozen=True)
class Answer:
    """What a POST answers, and what of it may be stored."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)
    stored_body: dict[str, Any] | None = None
    """In place of `body` where that holds a secret."""

    def response(self) -> JSONResponse:
        return JSONResponse(self.body, self.status, self.headers)


Write = Callable[[Session], Answer]
"""Makes its rows in the session's transaction; whoever calls it commits."""


class Idempotency:
    """A dependency of every POST."""

    def __init__(self, request: Request, key: KeyHeader = None):
        self.key = key
        self.sessions: Sessions = request.app.state.sessions
        self.address = f"{request.method} {request.url.path}?{request.url.query}"

    def once(
        self, caller: Caller, content_sha256: str, prepare: Callable[[], Write]
    ) -> JSONResponse:
        """Prepare outside any transaction, then write in one; or replay the stored answer."""
        if self.key is None:
            return _written(self.sessions, prepare()).response()
        fingerprint = hashlib.sha256(f"{self.address}\n{content_sha256}".encode()).hexdigest()
        claim = _Claim(self.sessions, caller.project_id, self.key, fingerprint)
        stored = claim.take()
        return _replayed(stored, fingerprint) if stored else claim.fulfil(prepare).response()


def _written(sessions: Sessions, write: Write) -> Answer:
    with sessions.begin() as session:
        return write(session)


class _Claim:
    """The right to do the work of one key."""

    def __init__(self, sessions: Sessions, project_id: str, key: str, fingerprint: str):
        self.sessions = sessions
        self.project_id = project_id
        self.key = key
        self.fingerprint = fingerprint

    def take(self) -> IdempotencyRecord | None:
        """None when the claim is ours, else the record of whoever came first."""
        self._drop_expired()
        try:
            with self.sessions.begin() as session:
                session.add(self._record())
        except IntegrityError:
            return self._first()
        return None

    def fulfil(self, prepare: Callable[[], Write]) -> Answer:
        try:
            return _written(self.sessions, self._storing(prepare()))
        except BaseException:
            self._free()
            raise

    def _storing(self, write: Write) -> Write:
        def write_and_store(session: Session) -> Answer:
            answer = write(session)
            self._store(session, answer)
            return answer

        return write_and_store

    def _record(self) -> IdempotencyRecord:
        return IdempotencyRecord(
            project_id=self.project_id, key=self.key, request_sha256=self.fingerprint
        )

    def _first(self) -> IdempotencyRecord:
        with self.sessions() as session:
            record = session.scalar(select(IdempotencyRecord).where(*self._ours()))
        if record is None:
            raise Problem("idempotency_in_flight", "the first request has just failed; try again")
        return record

    def _store(self, session: Session, answer: Answer) -> None:
        body = answer.body if answer.stored_body is None else answer.stored_body
        session.execute(
            update(IdempotencyRecord)
            .where(*self._ours(), IdempotencyRecord.status == 0)
            .values(status=answer.status, headers=answer.headers, body=body)
        )

    def _free(self) -> None:
        with self.sessions.begin() as session:
            session.execute(
                delete(IdempotencyRecord).where(*self._ours(), IdempotencyRecord.status == 0)
            )

    def _drop_expired(self) -> None:
        record, moment = IdempotencyRecord, now()
        old = record.created_at < moment - KEPT_FOR
        abandoned = (record.status == 0) & (record.created_at < moment - ABANDONED_AFTER)
        with self.sessions.begin() as session:
            session.execute(delete(record).where(*self._ours(), old | abandoned))

    def _ours(self) -> tuple[ColumnElement[bool], ...]:
        return (
            IdempotencyRecord.project_id == self.project_id,
            IdempotencyRecord.key == self.key,
        )


def _replayed(stored: IdempotencyRecord, fingerprint: str) -> JSONResponse:
    if stored.request_sha256 != fingerprint:
        raise Problem("idempotency_key_reused", "this key came with another request before")
    if stored.status == 0:
        raise Problem("idempotency_in_flight", "wait for the first answer, then ask again")
    headers = {**(stored.headers or {}), "Idempotency-Replayed": "true"}
    return JSONResponse(stored.body, stored.status, headers)
