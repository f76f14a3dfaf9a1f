"""Ranks found in training: whole runs to an artifact, a killed one, and what is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from core.compression.methods.compressed import load_compressed
from core.compression.methods.stages.factorize import read_layer_reports
from core.compression.pipeline import run
from core.compression.run_state import Run
from core.compression.workspace import Workspace
from core.errors import BudgetError
from core.planning.dynamic_ranks import dense_or
from core.recipe import Recipe
from core.recipe.events import (
    ArtifactReady,
    Event,
    RunSucceeded,
    StageFinished,
    StageProgress,
    StructureReported,
)
from tests.compression.family_models import family_model
from tests.compression.pipeline.test_killed_training import (
    at,
    lived_until,
    never,
    result,
    steps,
    weights,
)
from tests.compression.tiny_models import (
    WORDS,
    cycles,
    make_recipe,
    make_workspace,
    save_encoder,
    sentences,
    word_tokenizer,
    write_csv,
    write_jsonl,
)

TRAINED = {"epochs": 4, "batch_size": 8, "learning_rate": 3e-3}
SIZE = 32 * 32
TARGETS = 8 * SIZE + 4 * 2 * SIZE
LARGEST_UNIT = 32 + 64


def rankdyna(**training: Any) -> dict[str, Any]:
    return {"type": "rankdyna", "training": {**TRAINED, **training}}


def recipe_of(workspace: Workspace, **changes: Any) -> Recipe:
    own = {
        "calibration": {},
        "method": rankdyna(),
        "budget": {"type": "keep_ratio", "value": 0.3},
        "finetune": {"type": "none"},
    }
    return make_recipe(workspace, **{**own, **changes})


class Finished:
    def __init__(self, workspace: Workspace, **changes: Any):
        self.workspace = workspace
        self.recipe = recipe_of(workspace, **changes)
        self.events: list[Event] = list(run(self.recipe, workspace))
        self.run = Run.begin(self.recipe, workspace)
        self.result = next(e.result for e in self.events if isinstance(e, RunSucceeded))

    @property
    def sources(self) -> dict[str, str]:
        return {e.stage: e.source for e in self.events if isinstance(e, StageFinished)}

    @property
    def ranks(self) -> dict[str, int | None]:
        return dict(self.run.plan.ranks)

    def told(self) -> list[StructureReported]:
        return [event for event in self.events if isinstance(event, StructureReported)]

    def accuracy(self) -> float:
        return float(self.result["metrics"]["factorized"]["accuracy"]["value"])


def stored_ranks(found: Finished) -> dict[str, int | None]:
    """What training ended with; a layer stays dense where its factors would be no smaller."""
    last, targets = found.told()[-1], {layer.name: layer for layer in found.run.targets}
    return {
        each.name: dense_or(targets[each.name], each.rank)
        for each in last.layers
        if each.rank is not None
    }


Make = Callable[..., Finished]


@pytest.fixture(scope="module")
def finish(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Runs that share an adapted model."""
    folder = tmp_path_factory.mktemp("rankdyna")
    model = save_encoder(folder / "encoder")
    dataset = write_csv(folder / "texts.csv", sentences(300))

    def make(**changes: Any) -> Finished:
        own = tmp_path_factory.mktemp("run")
        return Finished(make_workspace(own, model, dataset, cache=folder / "cache"), **changes)

    return make


@pytest.fixture(scope="module")
def whole(finish: Make) -> Finished:
    return finish()


def test_one_round_finds_ranks_under_the_budget_and_learns_the_task(whole: Finished) -> None:
    assert list(whole.sources) == list(whole.recipe.method.stages)
    assert (whole.sources["statistics"], whole.sources["finetune"]) == ("skipped", "skipped")
    kept = whole.result["params"]["targets"]["after"]
    assert 0.3 * TARGETS - LARGEST_UNIT < kept <= 0.3 * TARGETS
    assert len(set(whole.ranks.values())) > 2
    assert whole.accuracy() > 0.9


def test_the_factors_are_the_trained_products(whole: Finished) -> None:
    trained = load_file(whole.run.folder("dynamic_ranks") / "model.safetensors")
    model = load_compressed(whole.run, "factorize")
    for report in read_layer_reports(whole.run):
        layer: Any = model.get_submodule(report.name)
        if report.rank is None:
            assert torch.equal(layer.weight, trained[f"{report.name}.weight"])
            continue
        assert (layer.rank, report.rank) == (whole.ranks[report.name],) * 2
        product = layer.outer @ layer.inner
        torch.testing.assert_close(product, trained[f"{report.name}.weight"], rtol=1e-4, atol=1e-6)
        assert report.measured_error is not None
        assert report.measured_error < 1e-5


def test_ranks_are_told_while_they_fall(whole: Finished) -> None:
    first = whole.told()[0]
    assert {event.stage for event in whole.told()} == {"dynamic_ranks"}
    assert [layer.rank for layer in first.layers] == [32] * 12
    assert stored_ranks(whole) == whole.ranks
    ratios = [
        event.values["units_ratio"]
        for event in whole.events
        if isinstance(event, StageProgress)
        and event.stage == "dynamic_ranks"
        and event.unit == "step"
    ]
    assert ratios == sorted(ratios, reverse=True)
    assert ratios[0] == pytest.approx((8 * 32 * 64 + 4 * 32 * 96) / TARGETS)


def test_report_and_card_say_where_the_ranks_are_from(whole: Finished) -> None:
    (ready,) = [event for event in whole.events if isinstance(event, ArtifactReady)]
    artifact = whole.workspace.directory / ready.directory
    for name in ("report.html", "README.md"):
        text = " ".join((artifact / name).read_text().split())
        assert "ranks found in training" in text


def test_kept_layers_and_floors_hold_and_recovery_can_follow(finish: Make) -> None:
    kept = "bert.encoder.layer.0.attention.self.query"
    found = finish(
        method=rankdyna(start="dense", importance="group", orthogonality=0.01),
        allocation={"type": "uniform", "keep_dense": [kept], "min_rank": 4},
        budget={"type": "keep_ratio", "value": 0.45},
        finetune={"type": "distill", "epochs": 1, "learning_rate": 1e-3},
    )
    assert found.ranks[kept] is None
    assert min(rank for rank in found.ranks.values() if rank is not None) >= 4
    assert found.result["params"]["targets"]["after"] <= 0.45 * TARGETS
    assert list(found.result["metrics"]) == ["dense", "factorized", "finetuned"]
    assert found.accuracy() > 0.9


def test_a_budget_below_the_floor_is_refused(finish: Make) -> None:
    with pytest.raises(BudgetError) as refused:
        finish(allocation={"type": "uniform", "min_rank": 12})
    assert refused.value.pointer == "/budget/value"


def test_a_layer_whose_units_are_no_smaller_stays_dense(finish: Make) -> None:
    found = finish(budget={"type": "keep_ratio", "value": 0.9}, method=rankdyna(epochs=1))
    sizes = {
        layer.name: (layer.rank, layer.params_before, layer.params_after)
        for layer in found.run.plan.layers
    }
    assert all(after < before for rank, before, after in sizes.values() if rank is not None)
    assert any(rank is None for rank, _, _ in sizes.values())
    assert found.result["params"]["targets"]["after"] <= 0.9 * TARGETS


def test_a_language_model_of_transposed_layers(tmp_path: Path) -> None:
    folder = tmp_path / "gpt2"
    family_model("gpt2", "AutoModelForCausalLM", len(WORDS)).save_pretrained(folder)
    word_tokenizer().save_pretrained(folder)
    dataset = write_jsonl(tmp_path / "texts.jsonl", cycles(80))
    workspace = make_workspace(tmp_path, folder, dataset)
    task = {"type": "causal-lm", "dataset": {"type": "path", "path": str(dataset)}}
    found = Finished(workspace, task={**task, "max_length": 16}, adapt="always")
    assert stored_ranks(found) == found.ranks
    sizes = found.result["params"]["targets"]
    assert sizes["after"] <= 0.3 * sizes["before"]


OFTEN = {"checkpoint_steps": 3, "validate_steps": 10, "accumulation": 2}
PLACES = (at("dynamic_ranks", "step", 14), at("dynamic_ranks", "step", 50))


def test_killed_while_ranks_fall_a_run_equals_an_undisturbed_one(tmp_path: Path) -> None:
    model = save_encoder(tmp_path / "encoder")
    dataset = write_csv(tmp_path / "texts.csv", sentences(200))
    changes = {"method": rankdyna(uncertainty=True, **OFTEN)}
    undisturbed = make_workspace(tmp_path / "undisturbed", model, dataset)
    expected = list(run(recipe_of(undisturbed, **changes), undisturbed))

    killed = make_workspace(tmp_path / "killed", model, dataset)
    recipe = recipe_of(killed, **changes)
    lives = [lived_until(recipe, killed, place) for place in (*PLACES, never)]
    assert [steps(life, "dynamic_ranks")[0] > 1 for life in lives[1:]] == [True, True]
    assert result(lives[-1]) == result(expected)
    for stage in ("dynamic_ranks", "factorize"):
        assert weights(killed, stage) == weights(undisturbed, stage)
