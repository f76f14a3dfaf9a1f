"""The commands, a file for each kind of thing."""

import typer

from rankwise.commands import administration, data, jobs, submitting


def register(app: typer.Typer) -> None:
    for module in (submitting, jobs, data, administration):
        module.register(app)
