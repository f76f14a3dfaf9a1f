"""The before/after tables that the demo prints, from the same rows as the report's."""

from dataclasses import astuple

from rich.table import Table

from core.reporting.latency import speed_in_words
from core.reporting.result import Latency, Result
from core.reporting.tables import metric_rows, size_rows

METRIC_COLUMNS = ("model", "value", "95 % interval", "change to dense", "paired interval", "rows")


def sizes(result: Result) -> Table:
    table = plain_table("Size", "", "before", "after", "kept")
    for row in size_rows(result):
        table.add_row(*astuple(row))
    return table


def quality(result: Result) -> Table:
    """The headline metric of every phase; intervals of changes are paired, on the same rows."""
    headline, *_ = rows = metric_rows(result)
    table = plain_table(headline.metric, *METRIC_COLUMNS)
    for row in rows:
        if row.metric == headline.metric:
            table.add_row(*astuple(row)[1:])
    return table


def speed(latency: Latency) -> str:
    return (
        f"Latency, batch {latency.batch}, {latency.mean_tokens:.0f} tokens a text, "
        f"{latency.threads} threads: dense {latency.dense_ms:.1f} ms, "
        f"compressed {latency.compressed_ms:.1f} ms; "
        f"{speed_in_words(latency.speedup, latency.speedup_interval)}."
    )


def plain_table(title: str, first: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 1))
    table.add_column(first, no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table
