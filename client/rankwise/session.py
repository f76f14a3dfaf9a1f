"""What all commands share: the service, and how to say things."""

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

import typer
from rich.console import Console

from rankwise.client import Client
from rankwise.errors import Exit, Json, RankwiseError
from rankwise.place import find_place

out = Console(soft_wrap=False)
errors = Console(stderr=True)

AsJson = Annotated[bool, typer.Option("--json", help="JSON instead of text.")]
JobId = Annotated[str, typer.Argument(metavar="JOB", help="A job's id.")]


class JobFailed(RankwiseError):
    exit_code = Exit.FAILED


class JobCancelled(RankwiseError):
    exit_code = Exit.CANCELLED


@dataclass(frozen=True)
class Session:
    url: str | None
    key: str | None

    @cached_property
    def client(self) -> Client:
        place = find_place(self.url, self.key)
        return Client(place.url, place.key)


def client_of(context: typer.Context) -> Client:
    session: Session = context.obj
    return session.client


def say_json(content: Any) -> None:
    """One document on stdout, as it is: no colour, no wrapping."""
    print(json.dumps(content, indent=2, ensure_ascii=False))


def refuse_unfinished(job: Json) -> None:
    """
    Raises:
        JobFailed, JobCancelled: how the job ended, unless it succeeded.
    """
    if job["status"] == "failed":
        error = job["error"] or {}
        hint = f"\nHint: {error['hint']}" if error.get("hint") else ""
        stage = f" in {error['stage']}" if error.get("stage") else ""
        raise JobFailed(f"{job['id']} failed{stage}: {error.get('message', '')}{hint}")
    if job["status"] == "cancelled":
        raise JobCancelled(f"{job['id']} was cancelled.")
