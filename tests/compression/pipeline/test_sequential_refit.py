"""The refit of whole models: what it sees of them, and that it helps."""

import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from core.compression.factorization.refit import refit, refitted_bias
from core.compression.low_rank import LowRankLinear
from core.compression.methods.compressed import load_compressed
from core.compression.methods.default import STAGES
from core.compression.methods.sequential_refit import Target, refit_sequentially
from core.compression.methods.stage import perform
from core.compression.methods.stages.statistics import describe_statistics
from core.compression.models.layers import linear_layer, replace_layer
from core.compression.run_state import Run
from core.compression.shifted_moments import ShiftedMoments
from core.compression.tasks.batches import Batch, reading_batches
from core.errors import ModelError
from core.planning.families import FAMILIES
from core.recipe.methods import SvdLlmConfig
from core.recipe.refit import Granularity
from tests.compression.tasks.tiny_tasks import tiny_task
from tests.compression.tiny_models import (
    cycles,
    make_recipe,
    make_workspace,
    save_language_model,
    tiny_language_model,
    write_jsonl,
)

EACH_GRANULARITY = pytest.mark.parametrize("granularity", ["block", "layer"])


def tiny(task: str, folder: Path, rows: int = 6) -> tuple[nn.Module, list[Batch]]:
    """In float64, with batches that are padded."""
    tiny = tiny_task(task, folder, rows)
    batches = list(reading_batches(tiny.examples, rows // 3, "cpu"))
    assert any(not bool(batch.mask.all()) for batch in batches)
    return tiny.model.double().eval(), batches


def targets(model: Any) -> list[str]:
    family = FAMILIES[model.config.model_type]
    return [
        name
        for name, module in model.named_modules()
        if name.startswith(f"{family.prefix}.{family.blocks}.") and isinstance(module, nn.Linear)
    ]


def seen_by(model: nn.Module, name: str, batches: list[Batch]) -> Tensor:
    """The layer's inputs at real tokens, from a hook on a pass of the whole model."""
    seen: list[Tensor] = []
    layer = model.get_submodule(name)
    hook = layer.register_forward_pre_hook(lambda _, args: seen.append(args[0].detach()))
    with torch.no_grad():
        for batch in batches:
            model(**batch.inputs)
    hook.remove()
    return torch.cat([x[batch.mask.bool()] for x, batch in zip(seen, batches, strict=True)])


def halved(target: Target) -> nn.Module:
    """Another layer: the leading half of the singular values."""
    u, s, vt = torch.linalg.svd(target.layer.weight, full_matrices=False)
    rank = len(s) // 2
    layer = LowRankLinear(*target.layer.weight.shape[::-1], rank, target.layer.bias is not None)
    layer = layer.double()
    layer.outer.data, layer.inner.data = u[:, :rank] * s[:rank], vt[:rank]
    if target.layer.bias is not None and layer.bias is not None:
        layer.bias.data = target.layer.bias.data
    return layer


@EACH_GRANULARITY
@pytest.mark.parametrize("task", ["causal-lm", "token-classification"])
@pytest.mark.parametrize("everything", [True, False], ids=["all", "some"])
def test_moments_are_those_of_both_whole_models(
    task: str, everything: bool, granularity: Granularity, tmp_path: Path
) -> None:
    model, batches = tiny(task, tmp_path)
    dense, before_block = deepcopy(model), {"": model}
    checked = []

    def solve(target: Target) -> nn.Module:
        block = target.name[: re.search(r"\.\d+\.", target.name).end()]  # type: ignore[union-attr]
        if block not in before_block:
            before_block[block] = deepcopy(model)
        compressed = model if granularity == "layer" else before_block[block]
        x = seen_by(dense, target.name, batches)
        shifted = seen_by(compressed, target.name, batches)
        expected = ShiftedMoments.zeros(x.shape[1], x.device)
        expected.see(x, shifted)
        for name, total in vars(expected).items():
            torch.testing.assert_close(getattr(target.moments, name), total)
        checked.append((target.name, float((x - shifted).abs().max())))
        return halved(target)

    layers = targets(model)
    replaced = layers if everything else layers[1::2]
    progress = list(
        refit_sequentially(model, layers, replaced, batches, solve, granularity, tmp_path / "s")
    )
    assert [p.done for p in progress] == [1, 2]
    thin = [layer for layer in layers if isinstance(model.get_submodule(layer), LowRankLinear)]
    assert sorted(name for name, _ in checked) == sorted(thin) == sorted(replaced)
    shifts = dict(checked)
    assert max(shifts.values()) > 1e-2
    assert shifts[replaced[0]] == 0


def test_models_without_a_list_of_blocks_are_refused(tmp_path: Path) -> None:
    model = tiny_language_model()
    some = [layer for layer in targets(model) if ".layers.0." in layer]
    with pytest.raises(ModelError, match="block") as refused:
        list(refit_sequentially(model, some, some, [], halved, "block", tmp_path))
    assert refused.value.pointer == "/refit"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("refit")
    save_language_model(folder / "causal-lm")
    write_jsonl(folder / "causal-lm.jsonl", cycles(200))
    return folder


def factorized(folder: Path, **overrides: Any) -> Run:
    """A tiny language model that has learned its texts, factorized at a low budget."""
    workspace = make_workspace(folder, folder / "causal-lm", folder / "causal-lm.jsonl")
    source = {"type": "path", "path": str(workspace.dataset)}
    content = {
        "task": {"type": "causal-lm", "dataset": source, "max_length": 16},
        "adapt": "always",
        "adaptation": {"epochs": 6, "batch_size": 8, "learning_rate": 3e-3},
        "budget": {"type": "keep_ratio", "value": 0.3},
        "finetune": {"type": "none"},
        **overrides,
    }
    run = Run.begin(make_recipe(workspace, **content), workspace)
    return up_to_factorize(run)


def up_to_factorize(run: Run) -> Run:
    for stage in ("resolve", "adapt", "statistics", "plan", "factorize"):
        for _ in perform(STAGES[stage], run):
            pass
    return run


def calibration_loss(run: Run) -> float:
    """Per token, over the rows that both statistics and refit have seen."""
    model, losses, tokens = load_compressed(run, "factorize"), 0.0, 0.0
    with torch.no_grad():
        for batch in reading_batches(run.examples["train"].head(64), 16, "cpu"):
            outputs = run.task.outputs(model, batch)
            losses, tokens = losses + outputs["losses"].sum(), tokens + outputs["tokens"].sum()
    return float(losses / tokens)


@EACH_GRANULARITY
@pytest.mark.parametrize("method", ["svd_llm", "kfac"])
def test_the_loss_on_the_calibration_rows_drops(
    method: str, granularity: str, folders: Path
) -> None:
    refit = {"type": "sequential", "rows": 64, "granularity": granularity}
    fields = {"method": {"type": method}, "allocation": {"type": "uniform"}}
    without, with_refit = factorized(folders, **fields), factorized(folders, refit=refit, **fields)
    assert without.plan == with_refit.plan
    assert calibration_loss(with_refit) < calibration_loss(without)
    assert not with_refit.checkpoints("factorize").exists()
    reported = {
        layer["name"]: layer["measured_error"]
        for layer in with_refit.read("factorize", "layers.json")
    }
    assert all(0 < error < 1 for error in reported.values())


def test_layers_that_stay_dense_are_left_as_they_are(folders: Path) -> None:
    kept = "model.layers.1.mlp.down_proj"
    run = factorized(
        folders,
        allocation={"type": "spectrum", "keep_dense": [kept]},
        budget={"type": "keep_ratio", "value": 0.5},
        refit={"type": "sequential", "rows": 64},
    )
    model = load_compressed(run, "factorize")
    weight = linear_layer(model, kept).weight
    assert torch.equal(weight, linear_layer(run.load_dense(), kept).weight)


def test_the_same_bits_twice(folders: Path, tmp_path: Path) -> None:
    """In another workspace, with the cached statistics."""
    refit = {"type": "sequential", "rows": 64}
    one = factorized(folders, refit=refit)
    (tmp_path / "workspace").mkdir()
    other_space = make_workspace(
        tmp_path, one.workspace.model, one.workspace.dataset, cache=one.workspace.cache
    )
    again = up_to_factorize(Run.begin(one.recipe, other_space))
    first, second = (
        (run.folder("factorize") / "model.safetensors").read_bytes() for run in (one, again)
    )
    assert first == second


@EACH_GRANULARITY
def test_an_encoder_with_biases_comes_closer_to_dense(
    granularity: Granularity, tmp_path: Path
) -> None:
    dense, batches = tiny("token-classification", tmp_path, rows=60)
    layers = targets(dense)

    def at_rank_24(name: str, layer: nn.Linear, moments: ShiftedMoments) -> nn.Module:
        found = refit(name, layer.weight, moments, 1.0, None, SvdLlmConfig(), 24)
        bias = refitted_bias(layer.weight, layer.bias, found.factors, moments)
        return LowRankLinear.from_factors(found.factors, bias)

    alone, refitted = deepcopy(dense), deepcopy(dense)
    for layer in layers:
        x = seen_by(dense, layer, batches)
        moments = ShiftedMoments.zeros(x.shape[1], x.device)
        moments.see(x, x)
        solved = at_rank_24(layer, linear_layer(dense, layer), moments)
        replace_layer(alone, layer, solved)

    def solve(target: Target) -> nn.Module:
        return at_rank_24(target.name, target.layer, target.moments)

    for _ in refit_sequentially(
        refitted, layers, layers, batches, solve, granularity, tmp_path / "s"
    ):
        pass
    assert distance(refitted, dense, batches) < 0.9 * distance(alone, dense, batches)


@torch.no_grad()
def distance(model: nn.Module, dense: nn.Module, batches: list[Batch]) -> float:
    """Mean squared error of the logits at real tokens."""
    errors = [(model(**b.inputs).logits - dense(**b.inputs).logits)[b.mask.bool()] for b in batches]
    return float(torch.cat(errors).square().mean())


def test_streamed_statistics_give_the_same_model(folders: Path) -> None:
    """From files of one block each; up to rounding."""
    calibration = {"rows": 64, "batch_size": 16}
    at_once = factorized(folders, calibration=calibration)
    streamed = factorized(folders, calibration={**calibration, "streamed": True})
    files = sorted(path.name for path in streamed.folder("statistics").glob("*.safetensors"))
    assert files == ["statistics-00000.safetensors", "statistics-00001.safetensors"]
    ranks = [[layer.rank for layer in run.plan.layers] for run in (at_once, streamed)]
    assert ranks[0] == ranks[1]
    one, other = (describe_statistics(run) for run in (at_once, streamed))
    assert one == pytest.approx(other)
    assert calibration_loss(streamed) == pytest.approx(calibration_loss(at_once), rel=1e-3)
    assert not streamed.checkpoints("statistics").exists()
