"""Every preset, as a recipe names it, from a model and a table to an artifact."""

import json
from pathlib import Path

import pytest

from core.compression.pipeline import run
from core.recipe import Recipe
from core.recipe.events import RunSucceeded
from core.recipe.presets import PRESETS
from core.reporting.result import Result
from tests.compression.tiny_models import make_workspace, save_encoder, sentences, write_csv


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_runs_and_meets_the_budget(name: str, tmp_path: Path) -> None:
    dataset = write_csv(tmp_path / "texts.csv", sentences(300))
    workspace = make_workspace(tmp_path / "run", save_encoder(tmp_path / "model"), dataset)
    content = {
        "preset": name,
        "model": {"type": "path", "path": str(workspace.model)},
        "task": {
            "type": "text-classification",
            "dataset": {"type": "path", "path": str(dataset)},
            "max_length": 32,
        },
        "adaptation": {"epochs": 4, "batch_size": 8, "learning_rate": 3e-3},
        "budget": {"type": "keep_ratio", "value": 0.4},
    }
    recipe = Recipe.model_validate_json(json.dumps(content))
    (done,) = [each for each in run(recipe, workspace) if isinstance(each, RunSucceeded)]
    result = Result.model_validate(done.result)
    assert 0.2 < result.params.targets.kept <= 0.4
    trained = recipe.finetune.type != "none"
    assert result.final_phase == ("finetuned" if trained else "factorized")
