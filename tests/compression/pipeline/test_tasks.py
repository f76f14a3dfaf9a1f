"""Every task from its recipe to an artifact that another process loads."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from core.compression.pipeline import run
from core.compression.run_state import Run
from core.compression.tasks.batches import make_batch
from core.compression.tasks.registry import TASK_KINDS
from core.compression.workspace import Workspace
from core.errors import RecipeError
from core.recipe import Recipe
from core.recipe.events import AnswersCompared, ArtifactReady, Event, RunSucceeded
from core.reporting.result import Result
from tests.compression.tiny_models import (
    cycles,
    make_recipe,
    make_workspace,
    questions,
    rated,
    save_encoder,
    save_language_model,
    sentences,
    tagged,
    tiny_tokenizer,
    write_jsonl,
)

ADAPTATION = {"epochs": 6, "batch_size": 8, "learning_rate": 3e-3}
METRICS = {
    "text-classification": ("accuracy", "f1", "matthews", "loss", "kl"),
    "regression": ("pearson", "spearman", "mse"),
    "token-classification": ("f1", "precision", "recall", "token_accuracy", "loss", "kl"),
    "question-answering": ("f1", "exact_match", "loss", "kl"),
    "causal-lm": ("perplexity", "loss", "token_accuracy"),
    "embedding": ("similarity_rank", "similarity_error"),
}
"""The headline first."""
GOOD_ENOUGH = {
    "text-classification": 0.9,
    "regression": 0.9,
    "token-classification": 0.9,
    "question-answering": 0.8,
    "embedding": 1.0,
}
"""What the dense model reaches at least."""

ROWS: dict[str, Any] = {
    "text-classification": sentences,
    "regression": rated,
    "token-classification": tagged,
    "question-answering": questions,
    "causal-lm": cycles,
    "embedding": sentences,
}
RECIPES: dict[str, dict[str, Any]] = {
    "causal-lm": {"adapt": "always"},
    "embedding": {"adaptation": {}},
    "question-answering": {"adaptation": {**ADAPTATION, "epochs": 20}},
    "token-classification": {"adaptation": {**ADAPTATION, "epochs": 12}},
}


@dataclass
class Finished:
    recipe: Recipe
    workspace: Workspace
    events: list[Event]

    @property
    def result(self) -> Result:
        (succeeded,) = (event for event in self.events if isinstance(event, RunSucceeded))
        return Result.model_validate(succeeded.result)

    @property
    def artifact(self) -> Path:
        (ready,) = (event for event in self.events if isinstance(event, ArtifactReady))
        return self.workspace.directory / ready.directory


def started(task: str, folder: Path, **overrides: Any) -> tuple[Recipe, Workspace]:
    save = save_language_model if task == "causal-lm" else save_encoder
    rows = [row if task != "embedding" else {"text": row["text"]} for row in ROWS[task](200)]
    dataset = write_jsonl(folder / "rows.jsonl", rows)
    workspace = make_workspace(folder, save(folder / "model"), dataset)
    source = {"type": "path", "path": str(dataset)}
    length = 32 if task == "question-answering" else 16
    config = {"type": task, "dataset": source, "max_length": length}
    config |= {"doc_stride": 8} if task == "question-answering" else {}
    content = {"adaptation": ADAPTATION, **RECIPES.get(task, {}), **overrides}
    return make_recipe(workspace, **{"task": config, **content}), workspace


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Finished]:
    runs = {}
    for task in TASK_KINDS:
        recipe, workspace = started(task, tmp_path_factory.mktemp(task))
        runs[task] = Finished(recipe, workspace, list(run(recipe, workspace)))
    return runs


@pytest.mark.parametrize("task", TASK_KINDS)
def test_every_phase_is_measured(task: str, finished: dict[str, Finished]) -> None:
    result = finished[task].result
    assert result.phases == ("dense", "factorized", "finetuned")
    assert result.metric_names == METRICS[task]
    assert result.headline == METRICS[task][0]
    assert result.params.targets.kept <= 0.4
    for phase in result.phases:
        for name, measured in result.metrics[phase].items():
            assert measured.interval[0] <= measured.interval[1]
            assert (measured.drop is None) == (phase == "dense" or name == "kl")


@pytest.mark.parametrize("task", TASK_KINDS)
def test_changed_answers_are_told_and_are_in_no_artifact(
    task: str, finished: dict[str, Finished]
) -> None:
    done = finished[task]
    found = [event for event in done.events if isinstance(event, AnswersCompared)]
    assert len(found) == (task not in ("causal-lm", "embedding"))
    for compared in found:
        changes = compared.changes
        assert changes == done.result.answers
        assert changes.rows == len(Run.begin(done.recipe, done.workspace).splits.test)
        assert len(compared.examples) == min(50, changes.worse + changes.better + changes.other)
        assert "texts" not in json.dumps(json.loads((done.artifact / "report.json").read_text()))


@pytest.mark.parametrize("task", TASK_KINDS)
def test_the_dense_model_has_learned_its_task(task: str, finished: dict[str, Finished]) -> None:
    result = finished[task].result
    dense = result.metrics["dense"][METRICS[task][0]].value
    assert dense < 4 if task == "causal-lm" else dense >= GOOD_ENOUGH[task]


@pytest.mark.parametrize("task", TASK_KINDS)
def test_what_was_lost_is_recovered_in_part(task: str, finished: dict[str, Finished]) -> None:
    training = finished[task].result.model_dump()["finetuning"]
    before, after = (
        training[f"validation_{METRICS[task][0]}_{when}"] for when in ("before", "after")
    )
    assert after <= before if task == "causal-lm" else after >= before


LOAD = """
import importlib.util, json, sys
assert importlib.util.find_spec("core") is None, "the project is in sight"
import torch, transformers
answers = {}
for task, order in json.loads(open(sys.argv[1]).read()).items():
    auto_class = getattr(transformers, order["auto_class"])
    model = auto_class.from_pretrained(order["folder"], trust_remote_code=True)
    inputs = {name: torch.tensor(rows) for name, rows in order["inputs"].items()}
    with torch.no_grad():
        answer = model(**inputs)
    answers[task] = {
        "answer": {name: v.tolist() for name, v in answer.items() if torch.is_tensor(v)},
        "params": sum(p.numel() for p in model.parameters()),
        "kind": type(model).__name__,
    }
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def reloaded(
    finished: dict[str, Finished], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """What plain transformers makes of every artifact in another process."""
    home = tmp_path_factory.mktemp("elsewhere")
    orders = {}
    for task, done in finished.items():
        state = Run.begin(done.recipe, done.workspace)
        batch = make_batch(state.examples["test"], np.arange(5), "cpu")
        inputs = {name: values.tolist() for name, values in batch.inputs.items()}
        auto_class = state.task.auto_class
        orders[task] = {"folder": str(done.artifact), "auto_class": auto_class, "inputs": inputs}
    (home / "orders.json").write_text(json.dumps(orders))
    kept = {key: os.environ[key] for key in ("PATH", "LD_LIBRARY_PATH") if key in os.environ}
    settings = {"HOME": str(home), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    process = subprocess.run(
        [sys.executable, "-P", "-c", LOAD, str(home / "orders.json")],
        cwd=home,
        env=kept | settings,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert process.returncode == 0, process.stderr
    assert "MISSING" not in process.stderr
    answers: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    return answers


@pytest.mark.parametrize("task", TASK_KINDS)
def test_the_artifact_elsewhere_is_the_evaluated_model(
    task: str, finished: dict[str, Finished], reloaded: dict[str, Any]
) -> None:
    done, found = finished[task], reloaded[task]
    assert found["kind"].startswith("Rankwise")
    assert found["params"] == done.result.params.model.after
    state = Run.begin(done.recipe, done.workspace)
    batch = make_batch(state.examples["test"], np.arange(5), "cpu")
    answer = SimpleNamespace(**{n: torch.tensor(v) for n, v in found["answer"].items()})
    outputs = state.task.outputs(lambda **inputs: answer, batch)  # type: ignore[arg-type]
    evaluated = np.load(state.folder("evaluate") / "finetuned.npz")
    for name, values in outputs.items():
        kept = evaluated[name][:5][tuple(slice(0, size) for size in values.shape)]
        assert values.numpy() == pytest.approx(kept, abs=1e-4)


@pytest.mark.parametrize("task", TASK_KINDS)
def test_card_and_report_show_the_tasks_own_metric(
    task: str, finished: dict[str, Finished]
) -> None:
    card = (finished[task].artifact / "README.md").read_text()
    assert f"{TASK_KINDS[task].auto_class}.from_pretrained" in card
    code = card.split("```python\n")[1].split("```")[0]
    compile(code, "card", "exec")
    assert ("perplexity ↓" in card) == (task == "causal-lm")
    assert ("| F1 % |" in card) == (METRICS[task][0] == "f1" or task == "text-classification")
    assert (finished[task].artifact / "report.html").stat().st_size > 5000


def refused(recipe: Recipe, workspace: Workspace) -> RecipeError:
    with pytest.raises(RecipeError) as error:
        list(run(recipe, workspace))
    return error.value


def test_embeddings_are_neither_adapted_nor_fine_tuned_on_labels(tmp_path: Path) -> None:
    recipe, workspace = started("embedding", tmp_path, adapt="always")
    assert refused(recipe, workspace).pointer == "/adapt"
    plain = make_recipe(
        workspace, task=json.loads(recipe.task.model_dump_json()), finetune={"type": "plain"}
    )
    assert refused(plain, workspace).pointer == "/finetune"


def test_a_classifiers_own_answers_can_be_the_labels(
    finished: dict[str, Finished], tmp_path: Path
) -> None:
    texts = write_jsonl(tmp_path / "t.jsonl", [{"text": row["text"]} for row in sentences(200)])
    (model,) = finished["text-classification"].workspace.directory.glob("stages/adapt-*")
    tiny_tokenizer(tmp_path).save_pretrained(model)
    workspace = make_workspace(tmp_path, model, texts)
    task = {
        "type": "text-classification",
        "dataset": {"type": "path", "path": str(texts)},
        "label": None,
        "labels": "from_model",
        "max_length": 16,
    }
    events = list(run(make_recipe(workspace, task=task), workspace))
    result = Finished(make_recipe(workspace, task=task), workspace, events).result
    assert result.metrics["dense"]["accuracy"].value == 1
    bare = make_workspace(tmp_path / "bare", save_encoder(tmp_path / "encoder"), texts)
    assert refused(make_recipe(bare, task=task), bare).pointer == "/task/labels"


def test_a_hubs_own_splits_are_read_from_a_folder_for_each(tmp_path: Path) -> None:
    rows = sentences(200)
    for split, part in (("train", rows[:150]), ("validation", rows[150:])):
        (tmp_path / "data" / split).mkdir(parents=True)
        write_jsonl(tmp_path / "data" / split / "0.jsonl", part)
    workspace = make_workspace(tmp_path, save_encoder(tmp_path / "model"), tmp_path / "data")
    task = {
        "type": "text-classification",
        "dataset": {"type": "hub", "id": "some/texts", "revision": "main"},
        "splits": {"type": "named", "validation": None, "test": "validation"},
        "max_length": 16,
    }
    recipe = make_recipe(workspace, task=task, adaptation=ADAPTATION)
    done = Finished(recipe, workspace, list(run(recipe, workspace)))
    assert done.result.metrics["dense"]["accuracy"].n == 50
    assert Run.begin(recipe, workspace).splits.sizes["validation"] == 15
