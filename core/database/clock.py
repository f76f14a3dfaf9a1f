"""The database's clock, which all hosts share: leases never depend on a worker's own clock."""

from datetime import datetime
from typing import Any

from sqlalchemy import Float, SQLColumnExpression
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from core.database.tables import UtcDateTime


class DatabaseNow(FunctionElement[datetime]):
    """The moment this expression runs, plus some seconds."""

    name = "database_now"
    inherit_cache = True
    type = UtcDateTime()


def database_now(seconds: float = 0.0) -> DatabaseNow:
    """`lease_until = database_now(lease_s)`; SQLite's clock is that of its one host."""
    return DatabaseNow(float(seconds))


@compiles(DatabaseNow, "postgresql")
def _postgresql(element: DatabaseNow, compiler: SQLCompiler, **options: Any) -> str:
    seconds = compiler.process(element.clauses, **options)
    return f"(clock_timestamp() + make_interval(secs => {seconds}))"


@compiles(DatabaseNow, "sqlite")
def _sqlite(element: DatabaseNow, compiler: SQLCompiler, **options: Any) -> str:
    """In the text form that SQLAlchemy stores, so that comparing texts compares times."""
    seconds = compiler.process(element.clauses, **options)
    return f"strftime('%Y-%m-%d %H:%M:%f000', 'now', {seconds} || ' seconds')"


class SecondsBetween(FunctionElement[float]):
    """From one moment to a later one, to the millisecond."""

    name = "seconds_between"
    inherit_cache = True
    type = Float()


def seconds_between(
    start: SQLColumnExpression[Any], end: SQLColumnExpression[Any]
) -> SecondsBetween:
    return SecondsBetween(start, end)


@compiles(SecondsBetween, "postgresql")
def _seconds_on_postgresql(element: SecondsBetween, compiler: SQLCompiler, **options: Any) -> str:
    start, end = (compiler.process(clause, **options) for clause in element.clauses)
    return f"CAST(EXTRACT(EPOCH FROM ({end}) - ({start})) AS DOUBLE PRECISION)"


@compiles(SecondsBetween, "sqlite")
def _seconds_on_sqlite(element: SecondsBetween, compiler: SQLCompiler, **options: Any) -> str:
    """Days since noon in 4714 BC, as a float of 64 bits, are good to 50 µs."""
    start, end = (compiler.process(clause, **options) for clause in element.clauses)
    return f"round(86400 * (julianday({end}) - julianday({start})), 3)"
