"""Engines and sessions. SQLite is set up so that processes queue for it instead of failing."""

from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry

from core.settings import Settings

Sessions = sessionmaker[Session]

BUSY_TIMEOUT_MS = 30_000
READ_ONLY = "rankwise_read_only"


def make_engine(settings: Settings) -> Engine:
    """An engine for `settings.resolved_database_url`; a folder for SQLite's file is made."""
    return engine_of(make_url(settings.resolved_database_url))


def engine_of(url: URL) -> Engine:
    if url.get_backend_name() == "sqlite":
        return _sqlite_engine(url)
    if url.drivername in {"postgresql", "postgres"}:
        url = url.set(drivername="postgresql+psycopg")
    return create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": 5})


def make_sessions(engine: Engine, *, read_only: bool = False) -> Sessions:
    """Sessions whose rows stay readable after commit.

    On SQLite a session takes the write lock when it begins; read-only ones never wait for it.
    """
    if read_only:
        engine = engine.execution_options(**{READ_ONLY: True})
    return sessionmaker(engine, expire_on_commit=False)


def read_only(sessions: Sessions) -> Sessions:
    """Read-only sessions on the same database."""
    return make_sessions(sessions.kw["bind"], read_only=True)


def _sqlite_engine(url: URL) -> Engine:
    _make_folder(url)
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _make_folder(url: URL) -> None:
    if url.database and url.database != ":memory:":
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)


def _prepare_sqlite(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    driver: Any = connection
    driver.isolation_level = None  # no implicit BEGIN: _begin_sqlite gives the right one
    for pragma in (
        f"busy_timeout = {BUSY_TIMEOUT_MS}",
        "journal_mode = WAL",
        "synchronous = NORMAL",
        "foreign_keys = ON",
    ):
        driver.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    """IMMEDIATE: a deferred transaction that reads, then writes, fails whatever the timeout."""
    read_only = connection.get_execution_options().get(READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")
