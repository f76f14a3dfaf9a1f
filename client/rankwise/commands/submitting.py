"""plan and submit: from a recipe's file to a job, its result and its files."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from rankwise.client import FINISHED, Client
from rankwise.errors import Json, Refused, TimedOut, UsageError
from rankwise.gates import Gate, parse_gate
from rankwise.recipes import RecipeFile, read_recipe, with_budget
from rankwise.session import AsJson, client_of, errors, out, refuse_unfinished, say_json
from rankwise.tables import plan_lines, plan_table, result_table
from rankwise.watching import view_on

RecipePath = Annotated[
    Path, typer.Argument(metavar="RECIPE", help="A recipe in YAML or JSON.", dir_okay=False)
]

Keep = Annotated[
    float | None,
    typer.Option(help="In place of the recipe's budget: the share of the target weights to keep."),
]


def register(app: typer.Typer) -> None:
    app.command()(plan)
    app.command()(submit)


def plan(
    context: typer.Context, recipe: RecipePath, keep: Keep = None, as_json: AsJson = False
) -> None:
    """What a job of this recipe would do: ranks, sizes, memory. Nothing is queued."""
    file = with_budget(read_recipe(recipe), keep)
    found = explained(file, lambda: client_of(context).plan(file.content))
    if as_json:
        say_json(found)
        return
    for line in plan_lines(found):
        out.print(line, highlight=False)
    out.print()
    out.print(plan_table(found))


def submit(
    context: typer.Context,
    recipe: RecipePath,
    keep: Keep = None,
    max_drop: Annotated[
        str | None,
        typer.Option(
            metavar="METRIC=ABS",
            help="In its place as well: the smallest model that is at most so much worse than "
            "dense, as accuracy=0.01.",
        ),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Until it has finished.")] = False,
    timeout: Annotated[
        float | None, typer.Option(help="Seconds to wait at most; the job goes on.", min=0)
    ] = None,
    quality_gate: Annotated[
        list[str] | None,
        typer.Option(help="As accuracy>=0.85, accuracy.drop<=0.01, kept<=0.3. Repeatable."),
    ] = None,
    download: Annotated[
        Path | None, typer.Option(help="Put the artifact into this folder.", file_okay=False)
    ] = None,
    priority: Annotated[int, typer.Option(min=-100, max=100)] = 0,
    idempotency_key: Annotated[
        str | None, typer.Option(help="The same key submits the same recipe once.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Queue a job; with --wait, follow it to its end and check its result."""
    gates = [parse_gate(text) for text in quality_gate or []]
    if not wait and (gates or download or timeout is not None):
        raise UsageError("--quality-gate, --download and --timeout need --wait.")
    file, client = with_budget(read_recipe(recipe), keep, max_drop), client_of(context)
    job = explained(file, lambda: client.submit(file.content, priority, idempotency_key))
    if wait:
        if not as_json:
            out.print(f"{job['id']} is queued.", highlight=False)
        job = watched(client, job["id"], timeout, quiet=as_json)
    say(job, as_json)
    refuse_unfinished(job)
    if wait and download is not None:
        client.download(job["id"], download)
    check(gates, job)


def explained(file: RecipeFile, ask: Callable[[], Json]) -> Json:
    """What the service refuses of a recipe is told by its lines."""
    try:
        return ask()
    except Refused as refused:
        if refused.errors:
            raise UsageError(file.explain(refused)) from refused
        raise


def watched(client: Client, job_id: str, timeout: float | None, quiet: bool) -> Json:
    """The finished job; its stages are shown on the way, on stderr."""
    if quiet:
        return client.wait(job_id, timeout)
    deadline = None if timeout is None else time.monotonic() + timeout
    with view_on(errors) as view:
        for event in client.events(job_id):
            view.show(event)
            if deadline is not None and time.monotonic() > deadline:
                raise TimedOut(f"{job_id} has not finished after {timeout:g} s; it goes on.")
    return client.wait(job_id, 60)


def say(job: Json, as_json: bool) -> None:
    if as_json:
        say_json(job)
    elif job["status"] not in FINISHED:
        out.print(job["id"], highlight=False)
    elif job["result"]:
        out.print(result_table(job["result"]))


def check(gates: list[Gate], job: Json) -> None:
    for gate in gates:
        gate.check(job["result"])
