"""RankDyna's cost and its open choices: `python -m benchmarks.rankdyna --cost` and without it.

`--cost`: one epoch of plain fine-tuning and one that finds ranks for keep 0.1 (the whole schedule
in 125 steps), a step of the one and a step of the other in turn on the same batches. Per tenth of
the training: median over its steps of the ratio of their seconds, and the ratio of the bytes in
parameters, gradients and moments. Peak memory of either training comes from a process of its own.
Goal: below 1.7, and falling.

Without it: the options that the paper's abstract leaves open, one changed at a time, keep 0.3 and
0.1, six epochs, on the classifier of `sentiment`. Choices are made by the validation columns.

CPU-hours, on one thread: cost 0.1; choices 1.6 (16 cells).
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Generator, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.grid import Cell, Grid, markdown
from benchmarks.sentiment import Dense, make
from core.compression.finetuning.checkpoint import CheckpointFolder
from core.compression.finetuning.dynamic_ranks import DynamicRanksHook
from core.compression.finetuning.optimizer import adamw
from core.compression.finetuning.protocol import Hook, Training
from core.compression.finetuning.score import Score
from core.compression.finetuning.training import train
from core.compression.finetuning.units import put_units
from core.compression.methods.compressed import load_compressed
from core.compression.methods.pretrained import load_pretrained
from core.compression.models.layers import parameter_count
from core.compression.progress import Progress
from core.planning.dynamic_ranks import unit_allowance
from core.recipe.dynamic_ranks import DynamicRanks

SEED = 17
COST_KEEP = 0.1
PARTS = 10
KINDS = ("plain", "rankdyna")
TRAINING = {"epochs": 6, "batch_size": 16, "learning_rate": 1e-4}
CHOICES: dict[str, dict[str, Any]] = {
    "as it is": {},
    "group importance": {"importance": "group"},
    "uncertainty": {"uncertainty": True},
    "no smoothing": {"smoothing": 0.0},
    "orthogonality 0.01": {"orthogonality": 0.01},
    "longer last phase": {"final_warmup": 0.5},
    "rate 2e-4": {"learning_rate": 2e-4},
    "rate 5e-5": {"learning_rate": 5e-5},
}
KEEP_RATIOS = (0.1, 0.3)


class Held(Hook):
    """Bytes in parameters, gradients and moments at each step, before gradients are dropped."""

    def __init__(self) -> None:
        self.bytes: list[int] = []

    def before_step(self, training: Training) -> None:
        parameters = list(training.model.parameters())
        gradients = [p.grad for p in parameters if p.grad is not None]
        state = [
            value
            for moments in training.optimizer.state.values()
            for value in moments.values()
            if isinstance(value, torch.Tensor)
        ]
        tensors = [*parameters, *gradients, *state]
        self.bytes.append(sum(each.numel() * each.element_size() for each in tensors))


def unscored(model: nn.Module) -> Generator[Progress, None, Score]:
    """Validation is no part of a step's cost."""
    yield Progress(1, 1, "validation row")
    return Score(0.0, 0.0)


class Trained:
    """A training of one kind, a step at a time."""

    def __init__(self, dense: Dense, kind: str, folder: Path):
        budget = {"type": "keep_ratio", "value": COST_KEEP}
        method = {"type": "rankdyna"} if kind == "rankdyna" else {"type": "svd"}
        run = dense.run_of(method=method, budget=budget, allocation={"type": "uniform"})
        config = DynamicRanks.model_validate({**TRAINING, "epochs": 1})
        model = load_pretrained(run)
        hooks: list[Hook] = []
        if kind == "rankdyna":
            allowance = unit_allowance(run.targets, parameter_count(model), run.recipe)
            layers = put_units(model, [layer.name for layer in run.targets])
            hooks.append(DynamicRanksHook(layers, allowance, 1, config))
        self.held = Held()
        self.steps = train(
            model,
            dense.examples("train"),
            run.task.training_losses,
            unscored,
            config,
            CheckpointFolder(folder / kind, 1e9, None, fingerprint=kind),
            seed=SEED,
            hooks=[self.held, *hooks],
            make_optimizer=adamw,
        )

    def step(self) -> float | None:
        """Its seconds; None after the last."""
        started = perf_counter()
        for report in self.steps:
            if isinstance(report, Progress) and report.unit == "step":
                return perf_counter() - started
        return None


def cost() -> Cell:
    with TemporaryDirectory() as folder:
        plain, ours = (Trained(Dense(SEED), kind, Path(folder)) for kind in KINDS)
        pairs = list(iter(lambda: (plain.step(), ours.step()), (None, None)))
    seconds = np.array(pairs, dtype=float)
    held = np.array([ours.held.bytes, plain.held.bytes], dtype=float)
    parts = np.array_split(np.arange(len(seconds)), PARTS)
    ratios = seconds[:, 1] / seconds[:, 0]
    peaks = {kind: peak_of(kind) for kind in KINDS}
    return {
        "time_ratio": [round(float(np.median(ratios[part])), 3) for part in parts],
        "whole_time_ratio": round(float(seconds[:, 1].sum() / seconds[:, 0].sum()), 3),
        "bytes_ratio": [round(float((held[0] / held[1])[part].mean()), 3) for part in parts],
        "peak_mib": peaks,
        "peak_ratio": round(peaks["rankdyna"] / peaks["plain"], 3),
    }


def peak_of(kind: str) -> int:
    """MiB that a process of its own has held at most, less what it held before the first step."""
    command = [sys.executable, "-m", "benchmarks.rankdyna", "--peak", kind]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(json.loads(done.stdout.splitlines()[-1]))


def print_peak(kind: str) -> None:
    with TemporaryDirectory() as folder:
        dense = Dense(SEED)
        assert dense.examples("train")
        before = status("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # the high-water mark begins anew
        trained = Trained(dense, kind, Path(folder))
        for _ in range(20):
            trained.step()
        peak = status("VmHWM")
        trained.steps.close()
    print(json.dumps(round(peak - before)))


def status(field: str) -> float:
    """MiB, of this process, as Linux tells."""
    (line,) = re.findall(rf"^{field}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.M)
    return int(line) / 1024


def keys() -> Iterator[dict[str, Any]]:
    for keep in KEEP_RATIOS:
        for choice in CHOICES:
            yield {"choice": choice, "keep": keep, "seed": SEED}


def measure(dense: Dense, key: dict[str, Any]) -> Cell:
    assert dense.run
    run = dense.run_of(
        method={"type": "rankdyna", "training": {**TRAINING, **CHOICES[key["choice"]]}},
        budget={"type": "keep_ratio", "value": key["keep"]},
        allocation={"type": "uniform"},
    )
    stages = ("dynamic_ranks", "statistics", "plan", "factorize")
    make(run, stages)
    compared = dense.compared(load_compressed(run, "factorize"))
    for stage in ("dynamic_ranks", "factorize"):
        shutil.rmtree(run.folder(stage))
    return {"kept": run.plan.keep_ratio, **compared}


def table(cells: list[Cell]) -> str:
    """Validation loss increase and accuracy, and the drop on the test split in points."""
    header = ("choice", "keep", "loss increase", "accuracy", "test drop")
    rows = [
        (
            cell["choice"],
            str(cell["keep"]),
            f"{cell['measured_increase']:+.3f}",
            f"{100 * cell['validation_accuracy']:.1f}",
            f"{cell['drop']:.1f} [{cell['interval'][0]:.1f}, {cell['interval'][1]:.1f}]",
        )
        for cell in cells
    ]
    return markdown(header, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cost", action="store_true")
    parser.add_argument("--peak", choices=KINDS, help=argparse.SUPPRESS)
    parser.add_argument("--summary", action="store_true")
    arguments = parser.parse_args()
    if arguments.peak:
        print_peak(arguments.peak)
        return
    if arguments.cost:
        cell = Grid("rankdyna_cost.jsonl").cell({"keep": COST_KEEP, "seed": SEED}, cost)
        print(json.dumps(cell, indent=1))
        return
    grid = Grid("rankdyna_choices.jsonl")
    if not arguments.summary:
        dense = Dense(SEED)
        for key in keys():
            grid.cell(key, partial(measure, dense, key))
    print(table(list(grid)))


if __name__ == "__main__":
    main()
