"""Follow a job's events and draw its stages as they work."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

TERMINAL = frozenset({"job.succeeded", "job.failed", "job.cancelled", "job.paused"})
SOURCES = {
    "cache": "from the cache",
    "workspace": "done before",
    "skipped": "nothing to do",
}

Event = dict[str, Any]


def follow(client: httpx.Client, job_id: str) -> Iterator[Event]:
    """The job's events as server-sent events, to the last one."""
    headers = {"Accept": "text/event-stream"}
    with client.stream("GET", f"/v1/jobs/{job_id}/events", headers=headers, timeout=None) as stream:
        stream.raise_for_status()
        for line in stream.iter_lines():
            if not line.startswith("data:"):
                continue
            event = json.loads(line.removeprefix("data:"))
            yield event
            if event["type"] in TERMINAL:
                return


class StageBars:
    """One bar a stage, 80 columns wide: what is done, how long it took, and the newest loss."""

    def __init__(self, console: Console, stages: list[str]):
        self.progress = Progress(
            TextColumn("  {task.fields[stage]:<11}"),
            BarColumn(bar_width=18),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]:<14}"),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[note]:<14}"),
            console=console,
        )
        self.cached: list[str] = []
        """Stages that were taken from the cache."""
        self.tasks: dict[str, TaskID] = {
            stage: self.progress.add_task("", start=False, total=1, stage=stage, unit="", note="")
            for stage in stages
        }

    def show(self, event: Event) -> None:
        data = event["data"]
        task = self.tasks.get(data.get("stage", ""))
        if task is None:
            return
        if event["type"] == "stage.started":
            self.progress.start_task(task)
        elif event["type"] == "stage.progress":
            self.progress.update(
                task,
                completed=data["done"],
                total=data["total"],
                unit=data["unit"],
                note=describe(data["values"]),
            )
        elif event["type"] == "stage.finished":
            self.finish(task, data)
            if data["source"] == "cache":
                self.cached.append(data["stage"])

    def finish(self, task: TaskID, data: Event) -> None:
        total = self.progress.tasks[task].total
        self.progress.start_task(task)
        self.progress.update(task, completed=total, note=SOURCES.get(data["source"], ""))
        self.progress.stop_task(task)


def describe(values: dict[str, float]) -> str:
    return f"loss {values['loss']:.3f}" if "loss" in values else ""
