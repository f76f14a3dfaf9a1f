"""What can be asked of jobs, and done to them."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from rankwise.commands.submitting import say, watched
from rankwise.errors import UsageError
from rankwise.session import AsJson, JobId, client_of, errors, out, refuse_unfinished, say_json
from rankwise.tables import comparison_table, job_table, jobs_table, result_table

MOST_COMPARED = 6


def register(app: typer.Typer) -> None:
    app.command("list")(list_jobs)
    app.command()(get)
    app.command()(watch)
    app.command()(logs)
    app.command()(download)
    app.command()(compare)
    for verb in ("cancel", "pause", "resume", "retry"):
        app.command(verb, help=VERBS[verb])(verb_command(verb))
    app.command()(delete)


VERBS = {
    "cancel": "End a job, at the next safe point.",
    "pause": "Hold a job; it goes on from there when resumed.",
    "resume": "Queue a paused job again.",
    "retry": "Queue a failed or cancelled job again.",
}


def list_jobs(
    context: typer.Context,
    status: Annotated[list[str] | None, typer.Option(help="Only these; repeatable.")] = None,
    label: Annotated[list[str] | None, typer.Option(help="key:value; repeatable.")] = None,
    search: Annotated[str | None, typer.Option(help="In names.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many, newest first.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Jobs, newest first."""
    filters = {"status": status, "label": label, "search": search, "limit": min(limit, 200)}
    asked = {name: value for name, value in filters.items() if value}
    found = [job for job, _ in zip(client_of(context).jobs(**asked), range(limit), strict=False)]
    if as_json:
        say_json(found)
    elif found:
        out.print(jobs_table(found))
    else:
        out.print("No jobs.", style="dim")


def get(context: typer.Context, job_id: JobId, as_json: AsJson = False) -> None:
    """One job: where it is, or what came of it."""
    job = client_of(context).job(job_id)
    if as_json:
        say_json(job)
        return
    out.print(job_table(job))
    if job["result"]:
        out.print()
        out.print(result_table(job["result"]))


def watch(
    context: typer.Context,
    job_id: JobId,
    timeout: Annotated[float | None, typer.Option(help="Seconds at most.", min=0)] = None,
    as_json: AsJson = False,
) -> None:
    """Follow a job to its end."""
    job = watched(client_of(context), job_id, timeout, quiet=as_json)
    say(job, as_json)
    refuse_unfinished(job)


def logs(context: typer.Context, job_id: JobId, as_json: AsJson = False) -> None:
    """What a run had to say, and what it failed of."""
    lines = list(client_of(context).logs(job_id))
    if as_json:
        say_json(lines)
        return
    for line in lines:
        stage = f"{line['stage']}: " if line["stage"] else ""
        text = f"{line['created_at']} {line['level']:<7} {stage}{line['message']}"
        out.print(text, markup=False, highlight=False, soft_wrap=True)


def download(
    context: typer.Context,
    job_id: JobId,
    folder: Annotated[Path, typer.Argument(file_okay=False, help="Where the files go.")],
    as_json: AsJson = False,
) -> None:
    """A job's artifact, every file checked by its SHA-256; goes on where it broke off."""
    client = client_of(context)
    total = sum(file["bytes"] for file in client.artifacts(job_id))
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, TransferSpeedColumn(), console=errors, disable=as_json) as progress:
        task = progress.add_task(job_id, total=total)
        paths = client.download(job_id, folder, lambda count: progress.advance(task, count))
    if as_json:
        say_json([str(path) for path in paths])
    else:
        out.print(f"{len(paths)} files in {folder}", highlight=False)


def compare(
    context: typer.Context,
    job_ids: Annotated[list[str], typer.Argument(metavar="JOB...", help="Two to six jobs.")],
    as_json: AsJson = False,
) -> None:
    """Where recipes differ, and what came of each."""
    if not 2 <= len(job_ids) <= MOST_COMPARED:
        raise UsageError(f"Two to {MOST_COMPARED} jobs can be compared, not {len(job_ids)}.")
    client = client_of(context)
    jobs = [client.job(job_id) for job_id in job_ids]
    if as_json:
        say_json(jobs)
    else:
        out.print(comparison_table(jobs))


def verb_command(verb: str) -> Callable[..., None]:
    def command(context: typer.Context, job_id: JobId, as_json: AsJson = False) -> None:
        job = getattr(client_of(context), verb)(job_id)
        if as_json:
            say_json(job)
        else:
            out.print(f"{job['id']} is {job['status']}.", highlight=False)

    return command


def delete(
    context: typer.Context,
    job_id: JobId,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove a finished job, its history and its files."""
    if not yes:
        typer.confirm(f"Delete {job_id} with its files?", abort=True, err=True)
    client_of(context).delete(job_id)
