"""A job's stages as bars while they work; plain lines where nobody looks at a terminal."""

from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from rankwise.errors import Json

SOURCES = {"cache": "from the cache", "workspace": "done before", "skipped": "nothing to do"}


class View(Protocol):
    def show(self, event: Json) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def view_on(console: Console) -> View:
    return StageBars(console) if console.is_terminal else StageLines(console)


class StageBars:
    """One bar a stage, 80 columns wide: what is done, how long it took, and the newest loss."""

    def __init__(self, console: Console, stages: list[str] | None = None):
        """Of these stages from the start, or of those that begin."""
        self._progress = Progress(
            TextColumn("  {task.fields[stage]:<13}"),
            BarColumn(bar_width=16),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]:<14}"),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[note]:<14}"),
            console=console,
        )
        self.cached: list[str] = []
        """Stages that were taken from the cache."""
        self._tasks: dict[str, TaskID] = {stage: self._add(stage) for stage in stages or []}

    def show(self, event: Json) -> None:
        data = event["data"]
        stage = data.get("stage")
        if not isinstance(stage, str) or not event["type"].startswith("stage."):
            return
        task = self._tasks.setdefault(stage, TaskID(-1))
        if task == -1:
            task = self._tasks[stage] = self._add(stage)
        if event["type"] == "stage.started":
            self._progress.start_task(task)
        elif event["type"] == "stage.progress":
            self._progress.update(
                task,
                completed=data["done"],
                total=data["total"],
                unit=data["unit"],
                note=noted(data),
            )
        elif event["type"] == "stage.finished":
            self._finish(task, data)

    def _add(self, stage: str) -> TaskID:
        return self._progress.add_task("", start=False, total=1, stage=stage, unit="", note="")

    def _finish(self, task: TaskID, data: Json) -> None:
        total = next(each.total for each in self._progress.tasks if each.id == task)
        self._progress.start_task(task)
        self._progress.update(task, completed=total, note=SOURCES.get(data["source"], ""))
        self._progress.stop_task(task)
        if data["source"] == "cache":
            self.cached.append(data["stage"])

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()


class StageLines:
    """A line when a stage begins and when it ends, fit for the log of a pipeline."""

    def __init__(self, console: Console):
        self._console = console

    def show(self, event: Json) -> None:
        data = event["data"]
        if event["type"] == "stage.started":
            self._say(f"{data['stage']} …")
        elif event["type"] == "stage.finished":
            note = SOURCES.get(data["source"], f"{data['seconds']:.1f} s")
            self._say(f"{data['stage']}: {note}")
        elif event["type"] == "log":
            self._say(f"{data['level']}: {data['message']}")

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass


def noted(progress: Json) -> str:
    loss = progress["values"].get("loss")
    return f"loss {loss:.3f}" if loss is not None else ""
