"""Every architecture from its recipe to an artifact that plain transformers loads elsewhere."""

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
from safetensors.torch import load_file, save_file
from transformers import CONFIG_MAPPING, Qwen2Tokenizer

from core.compression.export.dense_folder import write_dense_folder
from core.compression.export.loading import load_artifact
from core.compression.low_rank import LowRankLinear
from core.compression.models.factorized import target_weight
from core.compression.pipeline import run
from core.compression.run_state import Run
from core.compression.tasks.batches import make_batch
from core.compression.tasks.registry import TASK_KINDS
from core.compression.workspace import Workspace
from core.errors import ModelError, RecipeError
from core.planning.artifacts import checkpoint_of_artifact
from core.planning.families import FAMILIES, target_layers
from core.planning.model_files import files_in
from core.recipe import Recipe
from core.recipe.events import ArtifactReady, Event
from tests.compression.family_models import BERT_SIZES, SAME_MODULES, family_model
from tests.compression.pipeline.test_tasks import LOAD
from tests.compression.tiny_models import (
    WORDS,
    cycles,
    make_recipe,
    make_workspace,
    rated,
    sentences,
    tagged,
    word_tokenizer,
    write_jsonl,
)

GENERIC: dict[str, dict[str, Any]] = {
    "mpnet": BERT_SIZES,
    "gpt_neox": BERT_SIZES,
    "openai-gpt": {"n_embd": 24, "n_layer": 2, "n_head": 4},
}
"""Architectures without a family: an encoder, fused queries, keys and values, Conv1D."""
TASKS = {
    "gpt2": "causal-lm",
    "gpt_neox": "causal-lm",
    "llama": "regression",
    "qwen3": "token-classification",
    "mistral": "embedding",
    "electra": "embedding",
    "deberta-v2": "token-classification",
    "albert": "token-classification",
    "bert": "regression",
    "distilbert": "regression",
    "roberta": "regression",
    "mpnet": "regression",
}
"""The others classify texts, as their dense model does."""
ROWS: dict[str, Any] = {
    "regression": rated,
    "token-classification": tagged,
    "causal-lm": cycles,
}
ADAPTED = {"adapt": "always", "adaptation": {"epochs": 4, "batch_size": 8, "learning_rate": 4e-3}}
CLASSIFIES = {"label": None, "labels": "from_model"}
EMBEDDED = {"gpt2", "albert", "deberta-v2", "qwen3"}
"""Whose token embedding is a target too; GPT-2's is tied to its head."""
VOCABULARY = 40
"""Some tokenizers add their family's own tokens to any vocabulary."""
ARCHITECTURES = sorted((FAMILIES.keys() | GENERIC.keys()) - SAME_MODULES)


@dataclass
class Finished:
    recipe: Recipe
    workspace: Workspace
    events: list[Event]

    @property
    def artifact(self) -> Path:
        (ready,) = (event for event in self.events if isinstance(event, ArtifactReady))
        return self.workspace.directory / ready.directory

    @property
    def state(self) -> Run:
        return Run.begin(self.recipe, self.workspace)


def task_of(architecture: str) -> str:
    return TASKS.get(architecture, "text-classification")


def a_model(architecture: str) -> Any:
    auto_class = TASK_KINDS[task_of(architecture)].auto_class
    if architecture in FAMILIES:
        return family_model(architecture, auto_class, VOCABULARY, initializer_range=0.2)
    torch.manual_seed(7)
    sizes = GENERIC[architecture] | {"initializer_range": 0.2}
    config = CONFIG_MAPPING[architecture](vocab_size=VOCABULARY, **sizes)
    model: Any = getattr(__import__("transformers"), auto_class).from_config(config)
    return model


def a_tokenizer(architecture: str) -> Any:
    """Words; Qwen2's own letters, because beside its config transformers reads no other kind."""
    if architecture != "qwen2":
        return word_tokenizer()
    letters = {letter: number for number, letter in enumerate("Ġabcdefghijklmnopqrstuvwxyz")}
    return Qwen2Tokenizer(vocab=letters, merges=[])


def started(architecture: str, folder: Path, **overrides: Any) -> tuple[Recipe, Workspace]:
    task = task_of(architecture)
    rows = ROWS.get(task, sentences)(120)
    if task not in ROWS:
        rows = [{"text": row["text"]} for row in rows]
    dataset = write_jsonl(folder / "rows.jsonl", rows)
    a_model(architecture).save_pretrained(folder / "model")
    a_tokenizer(architecture).save_pretrained(folder / "model")
    workspace = make_workspace(folder, folder / "model", dataset)
    source = {"type": "path", "path": str(dataset)}
    config = {"type": task, "dataset": source, "max_length": 16}
    config |= CLASSIFIES if task == "text-classification" else {}
    content = {"task": config, "adaptation": {}, **(ADAPTED if task in ROWS else {})}
    content["embeddings"] = architecture in EMBEDDED
    content["finetune"] = {"type": "distill", "epochs": 1, "batch_size": 32}
    return make_recipe(workspace, **{**content, **overrides}), workspace


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Finished]:
    runs = {}
    for architecture in ARCHITECTURES:
        recipe, workspace = started(architecture, tmp_path_factory.mktemp(architecture))
        runs[architecture] = Finished(recipe, workspace, list(run(recipe, workspace)))
    return runs


@pytest.fixture(scope="module")
def reloaded(finished: dict[str, Finished], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What plain transformers makes of every artifact, and of its dense folder, elsewhere."""
    home, orders = tmp_path_factory.mktemp("elsewhere"), {}
    for name, done in finished.items():
        batch = make_batch(done.state.examples["test"], np.arange(5), "cpu")
        inputs = {key: values.tolist() for key, values in batch.inputs.items()}
        order = {"auto_class": done.state.task.auto_class, "inputs": inputs}
        write_dense_folder(done.artifact, home / f"{name} dense")
        orders[name] = {"folder": str(done.artifact), **order}
        orders[f"{name} dense"] = {"folder": str(home / f"{name} dense"), **order}
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
    assert "UNEXPECTED" not in process.stderr
    return json.loads(process.stdout.splitlines()[-1])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_target_of_the_plan_is_factorized(
    architecture: str, finished: dict[str, Finished]
) -> None:
    state = finished[architecture].state
    plan, model = state.plan, state.load_dense()
    assert plan.keep_ratio <= 0.4
    assert plan.target_params_before == sum(
        target_weight(model, n.name).numel() for n in plan.layers
    )
    assert plan.left
    assert all(group.reason for group in plan.left)


@pytest.mark.parametrize("dense", ["", " dense"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_plain_transformers_gives_the_evaluated_model(
    architecture: str, dense: str, finished: dict[str, Finished], reloaded: Any
) -> None:
    state, found = finished[architecture].state, reloaded[f"{architecture}{dense}"]
    assert found["kind"].startswith("Rankwise") == (not dense)
    batch = make_batch(state.examples["test"], np.arange(5), "cpu")
    answer = SimpleNamespace(**{n: torch.tensor(v) for n, v in found["answer"].items()})
    outputs = state.task.outputs(lambda **inputs: answer, batch)  # type: ignore[arg-type]
    evaluated = np.load(state.folder("evaluate") / "finetuned.npz")
    for name, values in outputs.items():
        kept = evaluated[name][:5][tuple(slice(0, size) for size in values.shape)]
        assert values.numpy() == pytest.approx(kept, rel=1e-3, abs=2e-4)


def test_embeddings_are_among_them_where_asked_for(finished: dict[str, Finished]) -> None:
    for architecture in EMBEDDED:
        use = finished[architecture].state.plan.layers[0].use
        assert use == ("tied" if architecture == "gpt2" else "lookup")


@pytest.mark.parametrize("architecture", sorted(FAMILIES.keys() - SAME_MODULES))
def test_a_later_job_has_the_same_targets(architecture: str, finished: dict[str, Finished]) -> None:
    done = finished[architecture]
    planned = checkpoint_of_artifact(files_in(done.artifact))
    embeddings = done.recipe.embeddings
    found = target_layers(planned, done.recipe.task, embeddings=embeddings)
    assert found == done.state.targets


def test_an_architecture_without_a_family_refuses_embeddings(tmp_path: Path) -> None:
    recipe, workspace = started("mpnet", tmp_path, embeddings=True)
    with pytest.raises(RecipeError, match="mpnet") as refused:
        list(run(recipe, workspace))
    assert refused.value.pointer == "/embeddings"


def test_shared_layers_have_one_pair_of_factors(finished: dict[str, Finished]) -> None:
    model = load_artifact(finished["albert"].artifact)
    factors = [m for m in model.modules() if isinstance(m, LowRankLinear)]
    assert len(factors) == len({id(m) for m in factors}) == 12  # two inner layers of six


def test_a_decoder_pools_the_token_before_the_padding(finished: dict[str, Finished]) -> None:
    """The artifact's config and tokenizer agree on what padding is."""
    for architecture in ("llama", "openai-gpt"):
        artifact = finished[architecture].artifact
        config = json.loads((artifact / "config.json").read_text())
        assert config["pad_token_id"] == WORDS.index("[SEP]")
        assert json.loads((artifact / "tokenizer_config.json").read_text())["pad_token"] == "[SEP]"


def test_a_plan_that_the_model_denies_is_refused(tmp_path: Path) -> None:
    """A tensor inside a block that no linear layer of the model has."""
    recipe, workspace = started("mpnet", tmp_path)
    weights = workspace.model / "model.safetensors"
    extra = {"mpnet.encoder.layer.0.adapter.weight": torch.ones(4, 4)}
    save_file(load_file(weights) | extra, weights, {"format": "pt"})
    with pytest.raises(ModelError, match=r"no layer 'mpnet\.encoder\.layer\.0\.adapter'"):
        list(run(recipe, workspace))
