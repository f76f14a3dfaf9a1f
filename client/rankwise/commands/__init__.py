"""The commands, a file for each kind of thing."""

import typer

from rankwise.commands import administration, data, jobs, retention, submitting, sweeping


def register(app: typer.Typer) -> None:
    for module in (submitting, sweeping, jobs, data, retention, administration):
        module.register(app)
