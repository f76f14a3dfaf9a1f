"""Whole runs on a tiny model and texts that it learns."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from core.compression.export.loading import load_artifact
from core.compression.models.layers import parameter_count
from core.compression.models.loading import load_tokenizer
from core.compression.pipeline import run
from core.compression.tasks.batches import make_batch
from core.compression.tasks.registry import task_kind
from core.compression.tasks.splits import split_rows
from core.compression.workspace import Workspace
from core.data.tables import read_rows
from core.errors import CompressionError, DataError, HopelessModelError, ModelError, RecipeError
from core.planning.spectra import load_spectra
from core.recipe import Recipe
from core.recipe.events import (
    ArtifactReady,
    CacheUsed,
    Event,
    LayersReported,
    MetricMeasured,
    RunSucceeded,
    SpectraReady,
    StageFinished,
    StageProgress,
    StageStarted,
)
from core.reporting.result import Result
from tests.compression.tasks.reading import read
from tests.compression.tiny_models import (
    make_recipe,
    make_workspace,
    pairs,
    save_encoder,
    sentences,
    write_csv,
    write_jsonl,
)

STAGES = ["resolve", "adapt", "statistics", "plan", "factorize", "finetune", "evaluate", "export"]
BYTE_FOR_BYTE = ("model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json")
ROWS = 300

Kind = TypeVar("Kind", bound=Event)


@dataclass
class Outcome:
    workspace: Workspace
    recipe: Recipe
    events: list[Event] = field(default_factory=list)

    def of(self, kind: type[Kind]) -> list[Kind]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def sources(self) -> dict[str, str]:
        return {event.stage: event.source for event in self.of(StageFinished)}

    @property
    def result(self) -> Result:
        return Result.model_validate(self.of(RunSucceeded)[0].result)

    @property
    def artifact(self) -> Path:
        return self.workspace.directory / self.of(ArtifactReady)[0].directory

    def weights(self) -> dict[str, bytes]:
        return {name: (self.artifact / name).read_bytes() for name in BYTE_FOR_BYTE}


def complete(workspace: Workspace, **overrides: Any) -> Outcome:
    outcome = Outcome(workspace, make_recipe(workspace, **overrides))
    outcome.events.extend(run(outcome.recipe, workspace))
    return outcome


def refusal(
    workspace: Workspace, kind: type[CompressionError], **overrides: Any
) -> CompressionError:
    with pytest.raises(kind) as refused:
        complete(workspace, **overrides)
    return refused.value


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_encoder(tmp_path_factory.mktemp("models") / "encoder")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_csv(tmp_path_factory.mktemp("data") / "texts.csv", sentences(ROWS))


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, model: Path, dataset: Path) -> Outcome:
    """An undisturbed run with an empty cache, looked at by several tests."""
    return complete(make_workspace(tmp_path_factory.mktemp("first"), model, dataset))


def test_stages_are_started_and_finished_in_order(first: Outcome) -> None:
    assert [event.stage for event in first.of(StageStarted)] == STAGES
    assert [event.stage for event in first.of(StageFinished)] == STAGES
    assert set(first.sources.values()) == {"computed"}
    assert isinstance(first.events[-1], RunSucceeded)


def test_long_stages_report_progress_to_their_end(first: Outcome) -> None:
    for stage in ("adapt", "statistics", "plan", "factorize", "finetune", "evaluate"):
        progress = [event for event in first.of(StageProgress) if event.stage == stage]
        assert progress[-1].done == progress[-1].total
        assert any(event.eta_s is not None for event in progress)


def test_the_result_measures_every_phase(first: Outcome) -> None:
    result = first.result
    assert result.phases == ("dense", "factorized", "finetuned")
    assert result.metrics["dense"]["accuracy"].value > 0.9
    assert result.metrics["finetuned"]["accuracy"].n == ROWS // 10
    assert 0 <= result.metrics["finetuned"]["kl"].value < 0.1
    assert result.metrics["finetuned"]["accuracy"].drop_interval is not None
    assert result.metric_names == ("accuracy", "f1", "matthews", "loss", "kl")
    assert len(first.of(MetricMeasured)) == 4 + 2 * 5
    assert result.params.targets.kept <= 0.4
    assert result.bytes.model.after == 4 * result.params.model.after
    assert result.latency is not None


def test_recovery_does_not_end_below_the_factorized_model(first: Outcome) -> None:
    finetuning = first.of(RunSucceeded)[0].result["finetuning"]
    assert isinstance(finetuning, dict)
    assert finetuning["validation_accuracy_after"] >= finetuning["validation_accuracy_before"]


def test_layers_are_those_of_the_plan(first: Outcome) -> None:
    (reported,) = first.of(LayersReported)
    assert len(reported.layers) == 12
    kept = sum(layer.params_after for layer in reported.layers)
    assert kept == first.result.params.targets.after
    assert all((layer.rank is None) == (layer.measured_error is None) for layer in reported.layers)
    (spectra,) = first.of(SpectraReady)
    stored = load_spectra(first.workspace.directory / spectra.path)
    assert list(stored) == [layer.name for layer in reported.layers]


def test_the_artifact_is_the_evaluated_model(first: Outcome) -> None:
    model = load_artifact(first.artifact)
    assert parameter_count(model) == first.result.params.model.after
    (finetuned,) = first.workspace.directory.glob("stages/evaluate-*/finetuned.npz")
    data = read(first.recipe.task, read_rows(first.workspace.dataset, "csv"))
    test = split_rows(data, first.recipe.task.splits).test
    kind, tokenizer = task_kind(first.recipe.task), load_tokenizer(first.artifact)
    examples = kind.tokenize(data, test, data.label_names, tokenizer)
    batch = make_batch(examples, np.arange(len(test)), "cpu")
    evaluated = np.load(finetuned)["logits"]
    assert model(**batch.inputs).logits.detach().numpy() == pytest.approx(evaluated, abs=1e-5)


def test_the_same_recipe_gives_the_same_bytes(
    first: Outcome, tmp_path: Path, model: Path, dataset: Path
) -> None:
    again = complete(make_workspace(tmp_path, model, dataset))
    assert set(again.sources.values()) == {"computed"}
    assert again.weights() == first.weights()


def test_another_budget_takes_adaptation_and_statistics_from_the_cache(
    first: Outcome, tmp_path: Path, model: Path, dataset: Path
) -> None:
    workspace = make_workspace(tmp_path, model, dataset, cache=first.workspace.cache)
    second = complete(workspace, budget={"type": "keep_ratio", "value": 0.2})
    assert second.sources == {
        **dict.fromkeys(STAGES, "computed"),
        "adapt": "cache",
        "statistics": "cache",
    }
    used = {event.stage: event.created for event in second.of(CacheUsed)}
    assert used == {"adapt": False, "statistics": False, "spectra": False}
    assert {event.stage for event in first.of(CacheUsed) if event.created} == set(used)
    assert second.result.params.targets.kept <= 0.2


def test_a_finished_run_is_told_again_without_computing(first: Outcome) -> None:
    again = complete(first.workspace)
    assert set(again.sources.values()) == {"workspace"}
    assert again.result == first.result
    for kind in (LayersReported, MetricMeasured, SpectraReady, ArtifactReady):
        assert again.of(kind) == first.of(kind)


def in_pieces(workspace: Workspace, cut: Callable[[Event], bool]) -> tuple[Outcome, int]:
    """Run again and again, each time up to the first event to `cut` at that was not cut at yet."""
    outcome = Outcome(workspace, make_recipe(workspace))
    cuts: set[str] = set()
    for attempt in range(100):
        outcome.events = []
        events = run(outcome.recipe, workspace)
        for event in events:
            outcome.events.append(event)
            place = f"{event.type} {getattr(event, 'stage', '')}"
            if cut(event) and place not in cuts:
                cuts.add(place)
                events.close()
                break
        else:
            return outcome, attempt
    raise AssertionError("never came to an end")


def test_stopped_before_and_after_every_stage_the_bytes_are_the_same(
    first: Outcome, tmp_path: Path, model: Path, dataset: Path
) -> None:
    workspace = make_workspace(tmp_path, model, dataset)
    boundaries = (StageStarted, StageFinished, ArtifactReady)
    outcome, attempts = in_pieces(workspace, lambda event: isinstance(event, boundaries))
    assert attempts == 2 * len(STAGES) + 1
    assert outcome.weights() == first.weights()


def test_stopped_in_the_middle_of_every_stage_the_bytes_are_the_same(
    first: Outcome, tmp_path: Path, model: Path, dataset: Path
) -> None:
    def halfway(event: Event) -> bool:
        return isinstance(event, StageProgress) and 2 * event.done >= event.total

    workspace = make_workspace(tmp_path, model, dataset)
    outcome, attempts = in_pieces(workspace, halfway)
    assert attempts >= 6
    assert outcome.weights() == first.weights()


def test_a_model_with_a_head_is_not_adapted(first: Outcome, tmp_path: Path, dataset: Path) -> None:
    (adapted,) = first.workspace.directory.glob("stages/adapt-*")
    tokenizer = load_tokenizer(first.workspace.model)
    tokenizer.save_pretrained(adapted)
    outcome = complete(
        make_workspace(tmp_path, adapted, dataset),
        method={"type": "svd"},
        calibration={},
        finetune={"type": "none"},
    )
    skipped = {stage for stage, source in outcome.sources.items() if source == "skipped"}
    assert skipped == {"adapt", "statistics", "finetune"}
    assert outcome.result.phases == ("dense", "factorized")
    assert outcome.result.metrics["dense"]["accuracy"].value == pytest.approx(
        first.result.metrics["dense"]["accuracy"].value
    )


def test_phi_is_told_with_the_plan_of_any_method(
    first: Outcome, tmp_path: Path, dataset: Path
) -> None:
    (adapted,) = first.workspace.directory.glob("stages/adapt-*")
    load_tokenizer(first.workspace.model).save_pretrained(adapted)
    for method in ("svd", "tfwsvd"):
        outcome = complete(
            make_workspace(tmp_path / method, adapted, dataset),
            method={"type": method},
            calibration={"rows": 16, "phi": True},
            finetune={"type": "none"},
        )
        (told,) = [event.layers for event in outcome.of(LayersReported)]
        assert all(
            layer.phi is not None and 0 < layer.phi <= 1 / layer.in_features for layer in told
        )
        assert all(layer.measured_error is not None for layer in told if layer.rank is not None)


def test_pairs_of_texts_from_jsonl(tmp_path: Path, model: Path) -> None:
    dataset = write_jsonl(tmp_path / "pairs.jsonl", [{**row} for row in pairs(ROWS)])
    workspace = make_workspace(tmp_path, model, dataset)
    task = {
        "type": "text-classification",
        "dataset": {"type": "path", "path": str(dataset)},
        "text": "first",
        "text_pair": "second",
        "max_length": 32,
    }
    adaptation = {"epochs": 8, "batch_size": 16, "learning_rate": 3e-3}
    outcome = complete(workspace, task=task, adaptation=adaptation, finetune={"type": "plain"})
    assert outcome.result.metrics["dense"]["accuracy"].value > 0.8


def test_a_new_head_without_adaptation_is_refused(
    tmp_path: Path, model: Path, dataset: Path
) -> None:
    workspace = make_workspace(tmp_path, model, dataset)
    error = refusal(workspace, ModelError, adapt="never", adaptation={})
    assert error.pointer == "/adapt"


def test_a_hopeless_model_fails_before_statistics(
    tmp_path: Path, model: Path, dataset: Path
) -> None:
    workspace = make_workspace(tmp_path, model, dataset)
    events: list[Event] = []
    recipe = make_recipe(workspace, adaptation={"epochs": 1, "learning_rate": 1e-9})
    with pytest.raises(HopelessModelError) as failed:
        events.extend(run(recipe, workspace))
    assert failed.value.hint
    assert not (workspace.cache / "adapt").exists()
    assert not list(workspace.directory.glob("stages/statistics-*"))


def test_refused_recipes_name_their_field(tmp_path: Path, model: Path, dataset: Path) -> None:
    workspace = make_workspace(tmp_path, model, dataset)
    task = {"type": "text-classification", "dataset": {"type": "path", "path": str(dataset)}}
    column = refusal(workspace, DataError, task={**task, "text": "body", "max_length": 16})
    assert column.pointer == "/task/text"
    length = refusal(workspace, RecipeError, task={**task, "max_length": 64})
    assert length.pointer == "/task/max_length"
    budget = refusal(workspace, RecipeError, budget={"type": "keep_ratio", "value": 0.001})
    assert budget.pointer == "/budget/value"
