"""Brings a database to the newest revision; processes that start at once take turns."""

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, make_url, text

from core.database.sessions import engine_of
from core.settings import REPOSITORY

ADVISORY_LOCK = 7_265_770_073_311_213


def upgrade(database: Engine | str, revision: str = "head") -> None:
    """Migrate an engine's or a URL's database, all in one transaction that holds a lock."""
    engine = database if isinstance(database, Engine) else engine_of(make_url(database))
    with engine.begin() as connection:
        _wait_for_turn(connection)
        command.upgrade(configured(connection), revision)


def configured(connection: Connection) -> Config:
    """Alembic's configuration, bound to an open connection."""
    config = Config(REPOSITORY / "alembic.ini")
    config.attributes["connection"] = connection
    return config


def _wait_for_turn(connection: Connection) -> None:
    """On SQLite the transaction itself is the lock: it began IMMEDIATE."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": ADVISORY_LOCK})
