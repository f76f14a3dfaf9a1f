"""Whole runs whose targets include the token embedding, and a language model's tied head."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open

from core.compression.allocation.scorer import Scorer, layers_of_ranks
from core.compression.export.loading import load_artifact
from core.compression.factorization.targets import decompose_target
from core.compression.low_rank import LowRankLinear
from core.compression.low_rank_embedding import LowRankEmbedding
from core.compression.methods.compressed import load_compressed
from core.compression.methods.stages.statistics import load_layer_statistics
from core.compression.models.layers import parameter_count
from core.compression.pipeline import run
from core.compression.run_state import Run
from core.compression.tasks.batches import make_batch
from core.planning.artifacts import checkpoint_of_artifact
from core.planning.checkpoint import read_checkpoint
from core.planning.families import target_layers
from core.planning.model_files import files_in
from core.recipe import Recipe
from core.recipe.events import LayerReport, LayersReported
from core.reporting.layer_names import layer_titles
from tests.compression.allocation.searches import finished as finished_work
from tests.compression.pipeline.test_tasks import Finished, started
from tests.compression.tiny_models import WORDS

EMBEDDINGS = {
    "text-classification": "bert.embeddings.word_embeddings",
    "causal-lm": "model.embed_tokens",
}
ALLOCATIONS: dict[str, dict[str, Any]] = {
    "text-classification": {"allocation": {"type": "uniform"}},
    "causal-lm": {"allocation": {"type": "spectrum"}},
}
DIM, VOCAB = 32, len(WORDS)

each_task = pytest.mark.parametrize("task", EMBEDDINGS)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Finished]:
    runs = {}
    for task in EMBEDDINGS:
        folder = tmp_path_factory.mktemp(task)
        exports = {"exports": ["safetensors", "dense"]}
        recipe, workspace = started(task, folder, embeddings=True, **exports, **ALLOCATIONS[task])
        runs[task] = Finished(recipe, workspace, list(run(recipe, workspace)))
    return runs


def state_of(done: Finished) -> Run:
    return Run.begin(done.recipe, done.workspace)


def rank_of(task: str, finished: dict[str, Finished]) -> int:
    rank = state_of(finished[task]).plan.rank_of(EMBEDDINGS[task])
    assert rank is not None
    return rank


@each_task
def test_the_embedding_is_planned_like_every_target(
    task: str, finished: dict[str, Finished]
) -> None:
    plan = state_of(finished[task]).plan
    layer = plan.layers[0]
    assert layer.name == EMBEDDINGS[task]
    assert (layer.out_features, layer.in_features) == (DIM, VOCAB)
    assert layer.use == ("tied" if task == "causal-lm" else "lookup")
    assert layer.params_before == DIM * VOCAB
    assert layer.params_after == rank_of(task, finished) * (DIM + VOCAB)
    assert layer.predicted_loss_increase is not None
    assert plan.target_params_before == sum(each.params_before for each in plan.layers)


@each_task
def test_budget_and_sizes_count_it_once(task: str, finished: dict[str, Finished]) -> None:
    done = finished[task]
    compressed = load_compressed(state_of(done), "finetune")
    assert parameter_count(compressed) == done.result.params.model.after
    assert done.result.params.model.after == state_of(done).plan.model_params_after
    assert done.result.params.targets.kept <= 0.4


@each_task
def test_the_report_shows_it(task: str, finished: dict[str, Finished]) -> None:
    done = finished[task]
    (reported,) = (event for event in done.events if isinstance(event, LayersReported))
    layer = reported.layers[0]
    assert (layer.name, layer.rank) == (EMBEDDINGS[task], rank_of(task, finished))
    assert layer.measured_error is not None
    assert 0 < layer.measured_error < 1
    page = (done.artifact / "report.html").read_text(encoding="utf-8")
    assert layer_titles([each.name for each in reported.layers])[layer.name] in page
    uses = {"causal-lm": "token embedding and head", "text-classification": "token embedding"}
    assert f"{layer.name}: {DIM} × {VOCAB}, {uses[task]}, rank {layer.rank}" in page


def test_the_tied_head_stays_tied_through_training_and_reloading(
    finished: dict[str, Finished],
) -> None:
    done = finished["causal-lm"]
    loaded: Any = load_artifact(done.artifact)
    for model in (load_compressed(state_of(done), "finetune"), loaded):
        assert isinstance(model.model.embed_tokens, LowRankEmbedding)
        assert isinstance(model.lm_head, LowRankLinear)
        assert model.lm_head.outer is model.model.embed_tokens.outer
        assert model.lm_head.inner is model.model.embed_tokens.inner
    config = json.loads((done.artifact / "config.json").read_text())
    assert config["tied_heads"] == {"lm_head": "model.embed_tokens"}
    assert "lm_head" not in config["ranks"]
    for folder, stored in ((done.artifact, "outer"), (done.artifact / "dense", "weight")):
        with safe_open(folder / "model.safetensors", framework="pt") as file:
            names = set(file.keys())
        assert f"model.embed_tokens.{stored}" in names
        assert not [name for name in names if name.startswith("lm_head")]


LOAD = """
import importlib.util, json, sys
assert importlib.util.find_spec("core") is None, "the project is in sight"
import torch, transformers
answers = []
for order in json.loads(open(sys.argv[1]).read()):
    auto_class = getattr(transformers, order["auto_class"])
    model = auto_class.from_pretrained(order["folder"], trust_remote_code=order["trust"])
    if order["trust"]:
        model.save_pretrained(order["again"])
        model = auto_class.from_pretrained(order["again"], trust_remote_code=True)
    inputs = {name: torch.tensor(rows) for name, rows in order["inputs"].items()}
    with torch.no_grad():
        logits = model(**inputs).logits
    if order["generates"]:
        made = model.generate(inputs["input_ids"][:1, :3], max_new_tokens=2, do_sample=False)
        assert made.shape[1] <= 5
    params = sum(p.numel() for p in model.parameters())
    answers.append({"logits": logits.tolist(), "params": params})
print(json.dumps(answers))
"""


@each_task
def test_plain_transformers_gives_equal_logits(
    task: str, finished: dict[str, Finished], tmp_path: Path
) -> None:
    """The small model, saved again by transformers and reloaded; and dense/ without trust."""
    done = finished[task]
    state = state_of(done)
    batch = make_batch(state.examples["test"], np.arange(5), "cpu")
    inputs = {name: v for name, v in batch.inputs.items() if name != "labels"}
    order = {
        "auto_class": state.task.auto_class,
        "inputs": {name: values.tolist() for name, values in inputs.items()},
        "again": str(tmp_path / "again"),
        "generates": task == "causal-lm",
    }
    orders = [
        {**order, "folder": str(done.artifact), "trust": True},
        {**order, "folder": str(done.artifact / "dense"), "trust": False},
    ]
    (tmp_path / "orders.json").write_text(json.dumps(orders))
    kept = {key: os.environ[key] for key in ("PATH", "LD_LIBRARY_PATH") if key in os.environ}
    process = subprocess.run(
        [sys.executable, "-P", "-c", LOAD, str(tmp_path / "orders.json")],
        cwd=tmp_path,
        env=kept | {"HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert process.returncode == 0, process.stderr
    assert "MISSING" not in process.stderr
    assert "UNEXPECTED" not in process.stderr
    small, dense = json.loads(process.stdout.splitlines()[-1])
    with torch.no_grad():
        expected = load_compressed(state, "finetune")(**inputs).logits
    assert torch.tensor(small["logits"]) == pytest.approx(expected, abs=1e-6)
    assert torch.tensor(dense["logits"]) == pytest.approx(expected, abs=1e-4)
    assert small["params"] == done.result.params.model.after
    assert dense["params"] == done.result.params.model.before


@each_task
def test_a_later_job_sees_the_dense_model_that_the_factors_make(
    task: str, finished: dict[str, Finished]
) -> None:
    artifact = finished[task].artifact
    planned = checkpoint_of_artifact(files_in(artifact))
    dense = read_checkpoint(artifact / "dense")
    assert dict(planned.tensors) == dict(dense.tensors)
    assert (planned.params, planned.config) == (dense.params, dense.config)
    layers = target_layers(planned, finished[task].recipe.task, embeddings=True)
    assert layers == state_of(finished[task]).targets


@pytest.mark.parametrize(
    "method",
    [
        {"type": "svd"},
        {"type": "svd_llm"},
        {"type": "fwsvd"},
        {"type": "fwsvd", "sides": "both"},
        {"type": "asvd"},
        {"type": "bolaco"},
        {"type": "tfwsvd"},
    ],
    ids=str,
)
@each_task
def test_every_method_factorizes_it(
    task: str, method: dict[str, str], finished: dict[str, Finished], tmp_path: Path
) -> None:
    """On the model that the first run adapted."""
    done = again(
        finished[task],
        tmp_path,
        method=method,
        allocation={"type": "uniform"},
        calibration={} if method["type"] == "svd" else {"rows": 64, "batch_size": 16},
    )
    layer = reported_layers(done)[0]
    assert layer.name == EMBEDDINGS[task]
    assert layer.rank is not None
    assert layer.measured_error is not None


def again(before: Finished, folder: Path, **changes: Any) -> Finished:
    """Another recipe on the same data, with what earlier runs left in the cache."""
    content = before.recipe.model_dump(mode="json") | {"finetune": {"type": "none"}} | changes
    recipe = Recipe.model_validate_json(json.dumps(content))
    done = Finished(recipe, replace(before.workspace, directory=folder), [])
    done.events.extend(run(recipe, done.workspace))
    return done


def reported_layers(done: Finished) -> tuple[LayerReport, ...]:
    (reported,) = (event for event in done.events if isinstance(event, LayersReported))
    return reported.layers


@each_task
def test_a_refit_begins_behind_the_factorized_embedding(
    task: str, finished: dict[str, Finished], tmp_path: Path
) -> None:
    """The embedding's factors are those of its closed form; the blocks' first layers are fitted to
    what it now gives."""
    plain = again(finished[task], tmp_path / "plain", refit={"type": "none"})
    refit = again(finished[task], tmp_path / "refit", refit={"type": "sequential", "rows": 32})
    models = [load_compressed(state_of(done), "factorize") for done in (plain, refit)]
    tables = [model.get_submodule(EMBEDDINGS[task]) for model in models]
    assert torch.equal(tables[0].outer @ tables[0].inner, tables[1].outer @ tables[1].inner)
    layers = [reported_layers(done) for done in (plain, refit)]
    assert layers[0][0].measured_error == layers[1][0].measured_error
    assert layers[0][1].measured_error != layers[1][1].measured_error


@pytest.mark.parametrize(
    "allocation",
    [
        {"type": "sensitivity", "groups": 2, "measure": "cumulative"},
        {"type": "sensitivity", "groups": 2, "measure": "single"},
        {"type": "bayesian", "trials": 2},
    ],
    ids=str,
)
@each_task
def test_plans_that_are_measured_measure_it_too(
    task: str, allocation: dict[str, Any], finished: dict[str, Finished], tmp_path: Path
) -> None:
    done = again(finished[task], tmp_path, allocation=allocation)
    state = state_of(done)
    assert state.plan.layers[0].name == EMBEDDINGS[task]
    if allocation["type"] == "sensitivity":
        increases = state.read("plan", "sensitivity.json")[EMBEDDINGS[task]]
        assert len(increases) == len({round(each, 12) for each in increases}) > 0
    else:
        measured = state.plan.candidates[0].keep_ratios
        assert 0 < measured[EMBEDDINGS[task]] < 1


def test_a_candidate_replaces_the_tied_head_too(
    finished: dict[str, Finished],
) -> None:
    """Measured as the model with the truncated table in its place, which is left as it was."""
    state = state_of(finished["causal-lm"])
    name, model = EMBEDDINGS["causal-lm"], state.load_dense()
    table, head = model.get_submodule(name), model.get_submodule("lm_head")
    sums = load_layer_statistics(state).get(name)
    found = decompose_target(model, name, sums, state.recipe.method)
    scorer = Scorer(model, state.task, state.examples["validation"], 16)
    work = scorer.replaced(layers_of_ranks(model, {name: found}, {name: 2}))
    measured = finished_work(work)
    assert model.get_submodule(name) is table
    assert model.get_submodule("lm_head") is head
    assert head.weight is table.weight
    expected = state.load_dense()
    with torch.no_grad():
        expected.get_submodule(name).weight.copy_(found.truncate(2).product().T)
    alone = finished_work(Scorer(expected, state.task, state.examples["validation"], 16).dense())
    assert measured.loss == pytest.approx(alone.loss, rel=1e-5)
    assert abs(measured.loss - finished_work(scorer.dense()).loss) > 1e-3


def test_phi_is_told_of_it(finished: dict[str, Finished], tmp_path: Path) -> None:
    calibration = {"rows": 64, "batch_size": 16, "phi": True}
    done = again(finished["causal-lm"], tmp_path, calibration=calibration)
    phi = reported_layers(done)[0].phi
    assert phi is not None
    assert 0 < phi <= 1 / VOCAB


@pytest.mark.parametrize("task", ["causal-lm"])
def test_without_the_field_it_stays_as_it_is(task: str, tmp_path: Path) -> None:
    recipe, workspace = started(task, tmp_path)
    assert not recipe.embeddings
    assert EMBEDDINGS[task] not in {layer.name for layer in Run.begin(recipe, workspace).targets}
