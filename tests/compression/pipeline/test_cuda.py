"""Whole runs on a GPU, beside the same run on the CPU; only where there is one."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from core.compression.pipeline import run
from core.compression.run_state import Run
from core.compression.workspace import Workspace
from core.recipe import Recipe
from core.recipe.events import LayerReport, LayersReported, RunSucceeded
from core.reporting.result import Result
from tests.compression.pipeline.test_families import started
from tests.compression.tiny_models import (
    make_recipe,
    make_workspace,
    save_encoder,
    sentences,
    write_csv,
)

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")

SEQUENTIAL = {"type": "sequential", "granularity": "layer", "batch_size": 16}
CLOSED_FORMS: dict[str, dict[str, Any]] = {
    "kfac, spectrum": {"method": {"type": "kfac"}, "allocation": {"type": "spectrum"}},
    "kfac, refit": {"method": {"type": "kfac"}, "refit": SEQUENTIAL},
    "kfac, streamed": {
        "method": {"type": "kfac"},
        "calibration": {"rows": 64, "batch_size": 16, "streamed": True},
    },
    "svd_llm, refit": {"method": {"type": "svd_llm"}, "refit": SEQUENTIAL},
    "fwsvd": {"method": {"type": "fwsvd", "sides": "both"}},
    "asvd": {"method": {"type": "asvd"}},
    "bolaco": {"method": {"type": "bolaco"}},
    "tfwsvd": {"method": {"type": "tfwsvd"}},
    "svd": {"method": {"type": "svd"}, "calibration": {}},
}
TRAINED: dict[str, dict[str, Any]] = {
    "distill": {},
    "bfloat16": {"finetune": {"type": "distill", "epochs": 1, "precision": "bfloat16"}},
    "alternating": {"finetune": {"type": "alternating", "epochs": 1}},
    "recomputed": {
        "finetune": {"type": "plain", "epochs": 1, "gradient_checkpointing": True},
    },
    "lpaf": {
        "calibration": {},
        "method": {"type": "lpaf", "pruning": {"epochs": 1, "batch_size": 16}},
        "finetune": {"type": "mixed_rank", "epochs": 1, "batch_size": 16},
    },
    "sensitivity": {"allocation": {"type": "sensitivity"}},
}
FAMILIES = ("gpt2", "llama", "albert", "deberta-v2")


@dataclass(frozen=True)
class Finished:
    result: Result
    layers: tuple[LayerReport, ...]


def finished(recipe: Recipe, workspace: Workspace) -> Finished:
    events = list(run(recipe, workspace))
    (last,) = (event for event in events if isinstance(event, RunSucceeded))
    reported = [event for event in events if isinstance(event, LayersReported)][-1]
    assert last.result["provenance"]["device"] == workspace.device
    return Finished(Result.model_validate(last.result), reported.layers)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("inputs")
    return save_encoder(folder / "model"), write_csv(folder / "texts.csv", sentences(200))


@pytest.fixture
def made(tmp_path: Path, inputs: tuple[Path, Path]) -> Any:
    def on(device: str, **changes: Any) -> tuple[Recipe, Workspace]:
        workspace = make_workspace(tmp_path / device, *inputs, device=device)
        return make_recipe(workspace, **changes), workspace

    return on


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_finds_the_cpus_factors(name: str, made: Any) -> None:
    """Both machines factorize one dense model: it is the CPU's."""
    changes = CLOSED_FORMS[name] | {"finetune": {"type": "none"}}
    recipe, workspace = made("cpu", **changes)
    expected = finished(recipe, workspace)
    adapted = Run.begin(recipe, workspace).folder("adapt")
    recipe, workspace = made("cuda", **changes)
    shutil.copytree(adapted, Run.begin(recipe, workspace).folder("adapt"))
    found = finished(recipe, workspace)
    assert [layer.rank for layer in found.layers] == [layer.rank for layer in expected.layers]
    for ours, theirs in zip(found.layers, expected.layers, strict=True):
        assert ours.measured_error == pytest.approx(theirs.measured_error, rel=1e-3, abs=1e-5)
    kl = [each.result.metrics["factorized"]["kl"].value for each in (found, expected)]
    assert kl[0] == pytest.approx(kl[1], rel=1e-2, abs=1e-4)


@pytest.mark.parametrize("name", TRAINED)
def test_trains(name: str, made: Any) -> None:
    done = finished(*made("cuda", **TRAINED[name]))
    assert done.result.metrics[done.result.final_phase]["accuracy"].value > 0.6


@pytest.mark.parametrize("architecture", FAMILIES)
def test_every_kind_of_layer(architecture: str, tmp_path: Path) -> None:
    recipe, workspace = started(architecture, tmp_path)
    on_gpu = Workspace(
        workspace.directory, workspace.cache, workspace.model, workspace.dataset, device="cuda"
    )
    assert finished(recipe, on_gpu).layers
