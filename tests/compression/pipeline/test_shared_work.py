"""Two jobs that need the same stage: one does it, the other waits for that and takes it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import core.compression.methods.stage as stage_module
from core.compression.pipeline import run
from core.compression.workspace import Workspace
from core.recipe.events import Event, StageFinished, StageProgress
from tests.compression.tiny_models import (
    make_recipe,
    make_workspace,
    save_encoder,
    sentences,
    write_csv,
)

WAITING = "work of another job"


@pytest.fixture
def workspaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Workspace]:
    """Of two jobs of one project."""
    monkeypatch.setattr(stage_module, "LOOK_AGAIN_S", 0.0)
    model = save_encoder(tmp_path / "model")
    dataset = write_csv(tmp_path / "texts.csv", sentences(200))
    cache = tmp_path / "cache"
    return [make_workspace(tmp_path / name, model, dataset, cache=cache) for name in "ab"]


def begun(workspace: Workspace, budget: float) -> Iterator[Event]:
    budgeted = {"budget": {"type": "keep_ratio", "value": budget}, "finetune": {"type": "none"}}
    return run(make_recipe(workspace, **budgeted), workspace)


def until_a_step(events: Iterator[Event], stage: str) -> None:
    for event in events:
        if isinstance(event, StageProgress) and (event.stage, event.unit) == (stage, "step"):
            return


def until_waiting(events: Iterator[Event]) -> StageProgress:
    for event in events:
        if isinstance(event, StageProgress) and event.unit == WAITING:
            return event
    raise AssertionError("it has not waited")


def sources(events: Iterator[Event]) -> dict[str, str]:
    return {each.stage: each.source for each in events if isinstance(each, StageFinished)}


def test_the_second_waits_and_takes_what_the_first_has_made(workspaces: list[Workspace]) -> None:
    first, second = (
        begun(each, budget) for each, budget in zip(workspaces, (0.5, 0.3), strict=True)
    )
    until_a_step(first, "adapt")
    for _ in range(3):
        waiting = until_waiting(second)
    assert waiting.stage == "adapt"
    assert sources(first)["adapt"] == "computed"
    found = sources(second)
    assert (found["adapt"], found["statistics"]) == ("cache", "cache")
    assert found["factorize"] == "computed"


def test_the_second_goes_on_itself_where_the_first_is_stopped(workspaces: list[Workspace]) -> None:
    first, second = (begun(each, 0.5) for each in workspaces)
    until_a_step(first, "adapt")
    until_waiting(second)
    first.close()  # type: ignore[attr-defined]
    assert sources(second)["adapt"] == "computed"
