"""The result of a run, as GET /v1/jobs/{id} shows it and report.json holds it."""

import platform
from importlib.metadata import version
from typing import Any

import torch

from core.compression.methods.compressed import final_stage, load_compressed
from core.compression.methods.loss_increase import plan_as_measured
from core.compression.methods.stages.evaluate import answers_compared
from core.compression.methods.stages.prune import describe_pruning
from core.compression.methods.stages.statistics import describe_statistics
from core.compression.models.layers import parameter_bytes, parameter_count
from core.compression.run_state import Run
from core.planning.plan import Plan

PACKAGES = ("torch", "transformers", "tokenizers", "safetensors", "numpy", "pydantic")


def describe_result(run: Run) -> dict[str, Any]:
    """Sizes before and after, every metric by phase, latency, the plan, and what it was made of."""
    evaluation = run.read("evaluate", "evaluation.json")
    dense, compressed = run.load_dense(), load_compressed(run, final_stage(run))
    targets = (run.plan.target_params_before, run.plan.target_params_after)
    width = next(dense.parameters()).element_size()
    return {
        "metrics": evaluation["metrics"],
        "params": {
            "model": _change(parameter_count(dense), parameter_count(compressed)),
            "targets": _change(*targets),
        },
        "bytes": {
            "model": _change(parameter_bytes(dense), parameter_bytes(compressed)),
            "targets": _change(*(width * params for params in targets)),
        },
        "headline": run.resolved.metric,
        "split": run.recipe.evaluation.split,
        "latency": evaluation["latency"],
        "answers": _answers(run),
        "plan": _plan(plan_as_measured(run)),
        "adaptation": _training(run, "adapt"),
        "pruning": describe_pruning(run),
        "finetuning": _training(run, "finetune"),
        "statistics": describe_statistics(run),
        "provenance": provenance(run),
    }


def _plan(plan: Plan) -> dict[str, Any]:
    told = {"predicted_loss_increase", "loss_factor", "expected_loss_increase", "candidates"}
    return {"keep_ratio": plan.keep_ratio, **plan.model_dump(mode="json", include=told)}


def _answers(run: Run) -> dict[str, Any] | None:
    """Counts alone: texts of the data are in no artifact."""
    compared = answers_compared(run)
    return None if compared is None else compared.changes.model_dump(mode="json")


def _training(run: Run, stage: str) -> dict[str, Any] | None:
    """Validation scores before and after; None where the stage had nothing to do."""
    if not (run.folder(stage) / "training.json").exists():
        return None
    report: dict[str, Any] = run.read(stage, "training.json")
    return report


def _change(before: int, after: int) -> dict[str, int]:
    return {"before": before, "after": after}


def provenance(run: Run) -> dict[str, Any]:
    """What it takes to repeat the run."""
    return {
        "versions": {"python": platform.python_version(), **{p: version(p) for p in PACKAGES}},
        "threads": torch.get_num_threads(),
        "device": run.device,
        "seed": run.recipe.seed,
        "recipe_hash": run.recipe.hash,
        "model_digest": run.checkpoint.digest,
        "dataset_sha256": run.dataset_sha256,
        "splits": {"rows": run.resolved.rows, "hash": run.resolved.splits_hash},
        "baseline": {run.resolved.metric: run.resolved.baseline},
        "fingerprints": run.fingerprints,
    }
