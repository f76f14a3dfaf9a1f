"""How long a project keeps what its finished jobs left."""

from typing import Annotated

import typer
from rich.filesize import decimal

from rankwise.errors import Json
from rankwise.session import AsJson, client_of, out, say_json
from rankwise.tables import age, table

retention_app = typer.Typer(
    no_args_is_help=True, help="How long artifacts, events, workspaces and the cache are kept."
)

Artifacts = Annotated[float | None, typer.Option(help="Files of artifacts; numbers stay.")]
Events = Annotated[float | None, typer.Option(help="Events but for changes of state.")]
Workspaces = Annotated[float | None, typer.Option(help="Of failed and cancelled jobs; 1.")]
Cache = Annotated[float | None, typer.Option(help="Adapted models and statistics, unused.")]


def register(app: typer.Typer) -> None:
    retention_app.command("show")(show)
    retention_app.command("set")(set_policy)
    retention_app.command("preview")(preview)
    app.add_typer(retention_app, name="retention")


def show(context: typer.Context, as_json: AsJson = False) -> None:
    """The project's policy."""
    _say_policy(client_of(context).retention(), as_json)


def set_policy(
    context: typer.Context,
    artifacts: Artifacts = None,
    events: Events = None,
    workspaces: Workspaces = None,
    cache: Cache = None,
    as_json: AsJson = False,
) -> None:
    """Set the whole policy, in days: what is not named is kept for ever."""
    days = _days(artifacts, events, workspaces, cache)
    _say_policy(client_of(context).set_retention(**days), as_json)


def preview(
    context: typer.Context,
    artifacts: Artifacts = None,
    events: Events = None,
    workspaces: Workspaces = None,
    cache: Cache = None,
    as_json: AsJson = False,
) -> None:
    """What the policy, or another one, would drop now. Nothing is dropped."""
    days = _days(artifacts, events, workspaces, cache)
    found = client_of(context).preview_retention(**days)
    if as_json:
        say_json(found)
        return
    made = table("what", "kept for", "due now ", "bytes ")
    for name in ("artifacts", "events", "workspaces", "cache"):
        due = found[name]
        size = decimal(due["bytes"]) if "bytes" in due else ""
        made.add_row(name, _kept(found["policy"][f"{name}_days"]), f"{due['count']:,}", size)
    out.print(made)
    for job in found["jobs"]:
        out.print(
            f"  {job['id']}  {job['name']}  {age(job['finished_at'])}  {decimal(job['bytes'])}"
        )


def _days(
    artifacts: float | None, events: float | None, workspaces: float | None, cache: float | None
) -> dict[str, float]:
    named = {"artifacts": artifacts, "events": events, "workspaces": workspaces, "cache": cache}
    return {f"{name}_days": days for name, days in named.items() if days is not None}


def _say_policy(policy: Json, as_json: bool) -> None:
    if as_json:
        say_json(policy)
        return
    made = table("what", "kept for")
    for name in ("artifacts", "events", "workspaces", "cache"):
        made.add_row(name, _kept(policy[f"{name}_days"]))
    out.print(made)


def _kept(days: float | None) -> str:
    if days is None:
        return "ever"
    return "1 day" if days == 1 else f"{days:g} days"
