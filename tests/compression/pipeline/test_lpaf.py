"""Prune, factorize, mix ranks: whole runs that stop after each part, and one that is killed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from core.compression.pipeline import run
from core.compression.run_state import Run
from core.compression.workspace import Workspace
from core.errors import RecipeError
from core.recipe import Recipe
from core.recipe.events import (
    ArtifactReady,
    CacheUsed,
    Event,
    RunSucceeded,
    StageFinished,
    StageProgress,
    StructureReported,
)
from core.reporting.layer_tables import pruning_rows
from core.reporting.numbers import percent
from core.reporting.result import Result
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

STAGES = [
    "resolve",
    "adapt",
    "prune",
    "statistics",
    "plan",
    "factorize",
    "finetune",
    "evaluate",
    "export",
]
TRAINED = {"epochs": 3, "batch_size": 8, "learning_rate": 3e-3}
MIXED = {"type": "mixed_rank", "epochs": 2, "batch_size": 16, "learning_rate": 1e-3}
SIZE = 32 * 32
"""Of an attention matrix; those of the feed-forward layers are twice as large."""


def lpaf(**pruning: Any) -> dict[str, Any]:
    return {"type": "lpaf", "pruning": {**TRAINED, **pruning}}


def recipe_of(workspace: Workspace, **changes: Any) -> Recipe:
    return make_recipe(
        workspace, **{"calibration": {}, "method": lpaf(), "finetune": MIXED, **changes}
    )


class Finished:
    def __init__(self, workspace: Workspace, **changes: Any):
        self.workspace = workspace
        self.recipe = recipe_of(workspace, **changes)
        self.events: list[Event] = list(run(self.recipe, workspace))
        self.run = Run.begin(self.recipe, workspace)
        self.result = next(e.result for e in self.events if isinstance(e, RunSucceeded))
        self.layers = {layer["name"]: layer for layer in self.pruning["layers"]}

    @property
    def pruning(self) -> Any:
        return self.result["pruning"]

    @property
    def sources(self) -> dict[str, str]:
        return {e.stage: e.source for e in self.events if isinstance(e, StageFinished)}

    def weights(self, stage: str) -> dict[str, torch.Tensor]:
        return load_file(self.run.folder(stage) / "model.safetensors")

    def left(self) -> dict[str, int]:
        stored = self.weights("prune")
        return {name: int(stored[f"{name}.weight"].count_nonzero()) for name in self.layers}

    def told(self) -> list[StructureReported]:
        return [event for event in self.events if isinstance(event, StructureReported)]


Make = Callable[..., Finished]


@pytest.fixture(scope="module")
def finish(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Runs whose adapted and pruned models are shared."""
    folder = tmp_path_factory.mktemp("lpaf")
    model = save_encoder(folder / "encoder")
    dataset = write_csv(folder / "texts.csv", sentences(300))

    def make(**changes: Any) -> Finished:
        own = tmp_path_factory.mktemp("run")
        workspace = make_workspace(own, model, dataset, cache=folder / "cache")
        return Finished(workspace, **changes)

    return make


@pytest.fixture(scope="module")
def whole(finish: Make) -> Finished:
    return finish()


def test_all_parts_run_in_their_order(whole: Finished) -> None:
    assert list(whole.sources) == STAGES
    assert whole.sources["prune"] == "computed"
    assert whole.sources["statistics"] == "skipped"
    assert list(whole.result["metrics"]) == ["dense", "factorized", "finetuned"]
    assert whole.result["params"]["targets"]["after"] <= 0.4 * (8 * SIZE + 4 * 2 * SIZE)
    assert whole.result["finetuning"]["planned_steps"] == 30


def test_each_matrix_is_left_as_many_weights_as_its_factors_are_planned_to_have(
    whole: Finished,
) -> None:
    planned = {layer.name: layer.params_after for layer in whole.run.plan.layers}
    assert whole.left() == planned
    assert len(planned) == 12


def test_ranks_before_and_after_pruning_are_those_of_the_weights(whole: Finished) -> None:
    pruned = whole.weights("prune")
    for name, told in whole.layers.items():
        weight = pruned[f"{name}.weight"].double()
        sigma = torch.linalg.svdvals(weight)
        assert told["numerical_rank_after"] == int((sigma > 1e-3 * sigma[0]).sum())
        assert told["exact_rank_after"] == int(torch.linalg.matrix_rank(weight))
        assert told["numerical_rank_before"] == told["exact_rank_before"] == 32
        assert told["sparsity"] == pytest.approx(1 - int(weight.count_nonzero()) / weight.numel())
        assert told["empty_rows"] == int((weight == 0).all(1).sum())
        assert told["empty_columns"] == int((weight == 0).all(0).sum())


def test_sparsities_and_ranks_are_told_while_pruning(whole: Finished) -> None:
    first, last = whole.told()[0], whole.told()[-1]
    assert {event.stage for event in whole.told()} == {"prune"}
    assert [layer.sparsity for layer in first.layers] == [0] * 12
    assert {layer.name: layer.sparsity for layer in last.layers} == {
        name: pytest.approx(layer["sparsity"]) for name, layer in whole.layers.items()
    }
    with_ranks = [event for event in whole.told() if event.layers[0].rank is not None]
    assert len(with_ranks) in (10, 11)
    shares = [
        event.values["sparsity"]
        for event in whole.events
        if isinstance(event, StageProgress) and event.stage == "prune" and event.unit == "step"
    ]
    assert shares == sorted(shares)
    assert len(shares) == 90


def test_report_and_card_tell_what_pruning_left(whole: Finished) -> None:
    (ready,) = [event for event in whole.events if isinstance(event, ArtifactReady)]
    artifact = whole.workspace.directory / ready.directory
    told = Result.model_validate(whole.result)
    assert told.pruning is not None
    after = percent(told.pruning.rank_shares[1])
    page = " ".join((artifact / "report.html").read_text().split())
    assert f"numerical rank of 100.0 % of the full one before pruning and of {after} after" in page
    for row in pruning_rows(told):
        cells = (row.layer, row.left, row.full_rank, row.before, row.after, row.exact, row.empty)
        tagged = "".join(f"<td>{cell}</td>" for cell in cells)
        assert tagged.replace("<td>", '<td class="words">', 1) in page
    card = " ".join((artifact / "README.md").read_text().split())
    assert "Pruned first, by sensitivity: the numerical rank of a matrix went from 100.0 %" in card
    assert "fine-tuning: mixed_rank" in card


def test_pruned_only_the_result_is_the_pruned_model(finish: Make) -> None:
    budget = {"type": "keep_ratio", "value": 1}
    found = finish(method=lpaf(keep_ratio=0.1), budget=budget, finetune={"type": "none"})
    assert found.sources["finetune"] == "skipped"
    assert all(count in (SIZE // 10, 2 * SIZE // 10) for count in found.left().values())
    pruned, written = found.weights("prune"), found.weights("factorize")
    assert pruned.keys() == written.keys()
    assert all(torch.equal(pruned[name], tensor) for name, tensor in written.items())
    sizes = found.result["params"]["model"]
    assert sizes["before"] == sizes["after"]
    accuracy = found.result["metrics"]["factorized"]["accuracy"]["value"]
    assert accuracy == pytest.approx(1.0, abs=0.1), "it has learned what it is pruned for"


def test_pruned_and_factorized_only(finish: Make, whole: Finished) -> None:
    found = finish(finetune={"type": "none"})
    assert found.sources["prune"] == "cache"
    assert found.left() == whole.left()
    assert list(found.result["metrics"]) == ["dense", "factorized"]
    before, after = whole.weights("factorize"), found.weights("factorize")
    assert all(torch.equal(before[name], tensor) for name, tensor in after.items())


def test_another_recovery_can_take_the_place_of_the_third_part(finish: Make) -> None:
    found = finish(finetune={"type": "distill", "epochs": 1, "learning_rate": 1e-3})
    assert list(found.result["metrics"])[-1] == "finetuned"


@pytest.mark.parametrize("weights", ["scores", "fisher"])
def test_what_errors_count_by_and_ranks_that_are_spread(finish: Make, weights: str) -> None:
    """A layer that stays dense is no obstacle, and truncations are measured where it is asked."""
    kept = "bert.encoder.layer.0.attention.self.query"
    method = {**lpaf(keep_ratio=0.3), "weights": weights}
    calibration = {"rows": 64, "batch_size": 16}
    for allocation in ("uniform", "spectrum"):
        takes = allocation == "spectrum" or weights == "fisher"
        found = finish(
            method=method,
            allocation={"type": allocation, "keep_dense": [kept]},
            calibration=calibration if takes else {},
            finetune={"type": "none"},
        )
        assert kept not in found.layers
        increase = found.result["plan"]["predicted_loss_increase"]
        assert (increase is not None) is (allocation == "spectrum")
    counted = {e.stage for e in found.events if isinstance(e, CacheUsed) and not e.created}
    assert "prune" in counted, "with a ratio of its own it is pruned once"


def test_magnitudes_from_the_adapted_model_are_the_control(finish: Make) -> None:
    found = finish(method=lpaf(scores="magnitude", start="dense", keep_ratio=0.2))
    assert all(count in (SIZE // 5, 2 * SIZE // 5) for count in found.left().values())
    assert found.sources["finetune"] == "computed"


def test_the_best_of_all_matrices_together(finish: Make) -> None:
    found = finish(method=lpaf(selection="global", keep_ratio=0.2), finetune={"type": "none"})
    assert sum(found.left().values()) == 8 * (SIZE // 5) + 4 * (2 * SIZE // 5)
    assert len(set(found.left().values())) > 2


def test_a_plan_that_keeps_everything_prunes_nothing(finish: Make) -> None:
    budget = {"type": "params", "value": 8 * SIZE + 4 * 2 * SIZE}
    with pytest.raises(RecipeError) as refused:
        finish(budget=budget, finetune={"type": "none"})
    assert refused.value.pointer == "/method/pruning/keep_ratio"


def test_mixed_ranks_need_a_factorized_layer(finish: Make) -> None:
    budget = {"type": "params", "value": 8 * SIZE + 4 * 2 * SIZE}
    with pytest.raises(RecipeError) as refused:
        finish(method=lpaf(keep_ratio=0.2), budget=budget)
    assert refused.value.pointer == "/finetune"


def test_a_language_model_of_transposed_layers(tmp_path: Path) -> None:
    folder = tmp_path / "gpt2"
    family_model("gpt2", "AutoModelForCausalLM", len(WORDS)).save_pretrained(folder)
    word_tokenizer().save_pretrained(folder)
    dataset = write_jsonl(tmp_path / "texts.jsonl", cycles(80))
    workspace = make_workspace(tmp_path, folder, dataset)
    task = {"type": "causal-lm", "dataset": {"type": "path", "path": str(dataset)}}
    found = Finished(workspace, task={**task, "max_length": 16}, adapt="always")
    planned = {layer.name: layer.params_after for layer in found.run.plan.layers}
    assert found.left() == planned
    assert list(found.result["metrics"]) == ["dense", "factorized", "finetuned"]


OFTEN = {"checkpoint_steps": 3, "validate_steps": 10, "accumulation": 2}
PLACES = (at("prune", "step", 14), at("prune", "step", 50), at("finetune", "step", 11))


def test_killed_while_pruning_and_mixing_a_run_equals_an_undisturbed_one(tmp_path: Path) -> None:
    model = save_encoder(tmp_path / "encoder")
    dataset = write_csv(tmp_path / "texts.csv", sentences(200))
    changes = {
        "method": {
            **lpaf(scores="movement", score_learning_rate=0.01, **OFTEN),
            "weights": "scores",
        },
        "finetune": {**MIXED, **OFTEN},
    }
    undisturbed = make_workspace(tmp_path / "undisturbed", model, dataset)
    expected = list(run(recipe_of(undisturbed, **changes), undisturbed))

    killed = make_workspace(tmp_path / "killed", model, dataset)
    recipe = recipe_of(killed, **changes)
    lives = [lived_until(recipe, killed, place) for place in (*PLACES, never)]

    assert [steps(life, "prune")[0] > 1 for life in lives[1:3]] == [True, True]
    assert steps(lives[3], "finetune")[0] > 1
    assert result(lives[-1]) == result(expected)
    for stage in ("prune", "factorize", "finetune"):
        assert weights(killed, stage) == weights(undisturbed, stage)
    (own,) = killed.directory.glob("stages/prune-*/scores.safetensors")
    (other,) = undisturbed.directory.glob("stages/prune-*/scores.safetensors")
    assert own.read_bytes() == other.read_bytes()
