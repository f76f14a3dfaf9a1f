"""Trainings that are killed by SIGKILL and run again, in processes of their own."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

import core
from core.compression.pipeline import run
from core.compression.workspace import Workspace
from core.recipe import Recipe
from core.recipe.events import EVENT, Event, RunSucceeded, StageCheckpoint, StageProgress
from tests.compression.tiny_models import (
    make_recipe,
    make_workspace,
    save_encoder,
    sentences,
    write_csv,
)

ROOT = Path(core.__file__).parent.parent
OFTEN = {"checkpoint_steps": 3, "validate_steps": 8, "patience": 20, "schedule": "cosine"}
RECOVERY = {"epochs": 2, "batch_size": 16, "learning_rate": 1e-3, "accumulation": 2, **OFTEN}
TIMED = ("latency", "provenance")
FINETUNE = {"type": "alternating", "turn_steps": 4, "balance": True, **RECOVERY}

Place = Callable[[Event], bool]


def at(stage: str, unit: str, done: int) -> Place:
    def reached(event: Event) -> bool:
        is_progress = isinstance(event, StageProgress) and event.stage == stage
        return is_progress and event.unit == unit and event.done >= done

    return reached


def never(event: Event) -> bool:
    return False


PLACES = (at("adapt", "step", 11), at("adapt", "step", 38), at("finetune", "step", 10))


def lived_until(recipe: Recipe, workspace: Workspace, place: Place) -> list[Event]:
    """What a run told before it was killed, some moments after the place."""
    folders = {
        name: str(getattr(workspace, name)) for name in ("directory", "cache", "model", "dataset")
    }
    command = [sys.executable, "-m", "tests.compression.pipeline.killable"]
    process = subprocess.Popen(
        [*command, recipe.model_dump_json(), json.dumps(folders)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    told = list(_until(place, process.stdout, process))
    process.wait(60)
    assert process.returncode == (0 if place is never else -signal.SIGKILL)
    return told


def _until(place: Place, lines: Iterator[str], process: subprocess.Popen[str]) -> Iterator[Event]:
    for line in lines:
        if not line.endswith("\n"):
            return
        event = EVENT.validate_json(line)
        yield event
        if place(event):
            process.kill()


def steps(events: list[Event], stage: str) -> list[int]:
    return [
        event.done
        for event in events
        if isinstance(event, StageProgress) and event.stage == stage and event.unit == "step"
    ]


def result(events: list[Event]) -> dict[str, Any]:
    (ended,) = [event for event in events if isinstance(event, RunSucceeded)]
    return {name: value for name, value in ended.result.items() if name not in TIMED}


def weights(workspace: Workspace, stage: str) -> dict[str, bytes]:
    (file,) = workspace.directory.glob(f"stages/{stage}-*/model.safetensors")
    return {name: tensor.numpy().tobytes() for name, tensor in load_file(file).items()}


def test_killed_in_both_trained_stages_a_run_equals_an_undisturbed_one(
    tmp_path: Path,
) -> None:
    model = save_encoder(tmp_path / "encoder")
    dataset = write_csv(tmp_path / "texts.csv", sentences(300))
    adaptation = {"epochs": 4, "batch_size": 8, "learning_rate": 3e-3, **OFTEN}
    changes = {"adaptation": adaptation, "finetune": FINETUNE}

    undisturbed = make_workspace(tmp_path / "undisturbed", model, dataset)
    expected = list(run(make_recipe(undisturbed, **changes), undisturbed))

    killed = make_workspace(tmp_path / "killed", model, dataset)
    recipe = make_recipe(killed, **changes)
    lives = [lived_until(recipe, killed, place) for place in (*PLACES, never)]

    for before, after, stage in zip(
        lives[:-1], lives[1:], ("adapt", "adapt", "finetune"), strict=True
    ):
        saved = [e.step for e in before if isinstance(e, StageCheckpoint) and e.stage == stage]
        assert steps(after, stage)[0] >= saved[-1] + 1 > 1
    assert len(steps(expected, "finetune")) == 30
    assert result(lives[-1]) == result(expected)
    for stage in ("adapt", "finetune"):
        assert weights(killed, stage) == weights(undisturbed, stage)
    assert not list((killed.directory / "checkpoints").glob("*/*"))
