"""sweep, pareto and promote: from many budgets and methods to the one that is worth its size."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from rankwise.client import FINISHED
from rankwise.commands.submitting import explained, say, watched
from rankwise.errors import Json, UsageError
from rankwise.recipes import read_recipe
from rankwise.session import (
    AsJson,
    JobFailed,
    client_of,
    errors,
    out,
    refuse_unfinished,
    say_json,
)
from rankwise.tables import pareto_table

Cost = Literal["params", "bytes", "latency"]
SweepId = Annotated[str, typer.Argument(metavar="SWEEP", help="A sweep's id.")]
Against = Annotated[Cost, typer.Option(help="What a point costs.")]
Metric = Annotated[str | None, typer.Option(help="By default the task's headline.")]


def register(app: typer.Typer) -> None:
    app.command()(sweep)
    app.command()(pareto)
    app.command()(promote)


def sweep(
    context: typer.Context,
    file: Annotated[
        Path, typer.Argument(metavar="SWEEP", help="recipe, budgets, methods, seeds in YAML.")
    ],
    wait: Annotated[bool, typer.Option("--wait", help="Until all jobs are over.")] = False,
    timeout: Annotated[
        float | None, typer.Option(help="Seconds to wait at most; the jobs go on.", min=0)
    ] = None,
    against: Against = "bytes",
    priority: Annotated[int, typer.Option(min=-100, max=100)] = 0,
    idempotency_key: Annotated[
        str | None, typer.Option(help="The same key submits the same sweep once.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Queue every budget by every method with every seed; with --wait, show what each is worth."""
    if timeout is not None and not wait:
        raise UsageError("--timeout needs --wait.")
    spec, client = read_recipe(file), client_of(context)
    made = explained(spec, lambda: client.submit_sweep(spec.content, priority, idempotency_key))
    if not wait:
        say_json(made) if as_json else out.print(made["id"], highlight=False)
        return
    if not as_json:
        out.print(f"{made['id']} is queued.", highlight=False)
    with errors.status("") as status:
        seen = client.wait_for_sweep(
            made["id"], timeout, seen=lambda now: status.update(in_words(now))
        )
    weigh(client.pareto(made["id"], against), as_json)
    if "succeeded" not in seen["statuses"]:
        raise JobFailed(f"No job of {made['id']} has succeeded: {in_words(seen)}.")


def in_words(sweep: Json) -> str:
    """3 of 8 over: 2 succeeded, 1 failed, 1 running, 4 queued"""
    statuses = sweep["statuses"]
    over = sum(count for status, count in statuses.items() if status in FINISHED)
    parts = ", ".join(f"{count} {status}" for status, count in statuses.items())
    return f"{over} of {sum(statuses.values())} over: {parts}"


def weigh(found: Json, as_json: bool) -> None:
    say_json(found) if as_json else out.print(pareto_table(found))


def pareto(
    context: typer.Context,
    sweep_id: SweepId,
    against: Against = "bytes",
    metric: Metric = None,
    as_json: AsJson = False,
) -> None:
    """The finished points of a sweep by what they cost: which nothing beats, and the knee."""
    weigh(client_of(context).pareto(sweep_id, against, metric), as_json)


def promote(
    context: typer.Context,
    sweep_id: SweepId,
    point: Annotated[str, typer.Argument(metavar="JOB", help="A point's job, or `knee`.")],
    changes: Annotated[
        Path | None, typer.Option(help="Fields that go before the point's, in YAML.")
    ] = None,
    against: Against = "bytes",
    wait: Annotated[bool, typer.Option("--wait", help="Until it has finished.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a full job of a point: evaluated on the test split."""
    client = client_of(context)
    job_id = client.pareto(sweep_id, against)["knee"] if point == "knee" else point
    if job_id is None:
        raise UsageError(f"{sweep_id} has no knee: name a job of it.")
    changed = read_recipe(changes).content if changes else {}
    job = client.promote(sweep_id, job_id, changed)
    if wait:
        job = watched(client, job["id"], None, quiet=as_json)
    say(job, as_json)
    refuse_unfinished(job)
