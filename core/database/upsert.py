"""INSERT … ON CONFLICT … DO UPDATE, which SQLite and PostgreSQL spell alike."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from core.database.tables import Table


def upsert(
    session: Session, table: type[Table], row: dict[str, Any], *, keys: Sequence[str]
) -> None:
    """Insert a row, or give the row with the same keys these values."""
    on_sqlite = session.get_bind().dialect.name == "sqlite"
    statement = sqlite.insert(table) if on_sqlite else postgresql.insert(table)
    session.execute(
        statement.values(**row).on_conflict_do_update(
            index_elements=list(keys),
            set_={name: value for name, value in row.items() if name not in keys},
        )
    )
