"""The before/after table that the demo prints."""

from typing import Any

from rich.table import Table

PHASES = ("dense", "factorized", "finetuned")


def sizes(result: dict[str, Any]) -> Table:
    table = Table(title="Size", title_justify="left", box=None, padding=(0, 2))
    for column, justify in (
        ("", "left"),
        ("before", "right"),
        ("after", "right"),
        ("kept", "right"),
    ):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    for quantity in ("params", "bytes"):
        for part, label in (("model", "whole model"), ("targets", "target layers")):
            before, after = (result[quantity][part][when] for when in ("before", "after"))
            name = "parameters" if quantity == "params" else "bytes"
            table.add_row(f"{name}, {label}", f"{before:,}", f"{after:,}", f"{after / before:.1%}")
    return table


def quality(result: dict[str, Any]) -> Table:
    table = Table(title="Accuracy", title_justify="left", box=None, padding=(0, 2))
    table.add_column("")
    for column in ("accuracy", "95 % interval", "drop to dense, points", "paired interval", "rows"):
        table.add_column(column, justify="right")
    for phase in PHASES:
        if phase in result["metrics"]:
            table.add_row(phase, *accuracy_cells(result["metrics"][phase]["accuracy"]))
    return table


def accuracy_cells(accuracy: dict[str, Any]) -> tuple[str, ...]:
    low, high = accuracy["interval"]
    cells = (f"{accuracy['value']:.2%}", f"{low:.2%} … {high:.2%}")
    if accuracy["drop"] is None:
        return (*cells, "", "", f"{accuracy['n']:,}")
    low, high = accuracy["drop_interval"]
    drop = (f"{100 * accuracy['drop']:+.2f}", f"{100 * low:+.2f} … {100 * high:+.2f}")
    return (*cells, *drop, f"{accuracy['n']:,}")
