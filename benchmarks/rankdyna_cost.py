"""RankDyna's cost beside plain fine-tuning: `python -m benchmarks.rankdyna_cost`.

One epoch of plain fine-tuning and one that finds ranks for keep 0.1 (the whole schedule
in 125 steps), a step of the one and a step of the other in turn on the same batches. Per tenth of
the training: median over its steps of the ratio of their seconds, and the ratio of the bytes in
parameters, gradients and moments. Peak memory of either training comes from a process of its own.
Goal: below 1.7, and falling.

CPU-hours, on one thread: 0.1.
"""

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np
import torch
from torch import nn

from benchmarks.grid import Cell, Grid
from benchmarks.rank_search import SEED, starting, training
from benchmarks.sentiment import Dense, make
from core.compression.finetuning.protocol import Hook, Training
from core.compression.methods.pretrained import load_pretrained
from core.compression.progress import Progress
from core.recipe.dynamic_ranks import DynamicRanks

COST_KEEP = 0.1
PARTS = 10
KINDS = ("plain", "rankdyna")
TRAINING = {"epochs": 1, "batch_size": 16, "learning_rate": 1e-4}


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


def plain(dense: Dense) -> tuple[nn.Module, list[Hook]]:
    """The pre-trained model, whose weights are trained as they are."""
    run = dense.run_of()
    make(run, ("resolve",))
    return load_pretrained(run), []


class Trained:
    """A training of one kind, a step at a time."""

    def __init__(self, dense: Dense, kind: str, folder: Path):
        self.held, config = Held(), DynamicRanks.model_validate(TRAINING)
        model, hooks = starting(dense, COST_KEEP, config) if kind == "rankdyna" else plain(dense)
        self.steps = training(dense, model, config, folder / kind, [self.held, *hooks])

    def step(self) -> float | None:
        """Its seconds; None after the last."""
        started = perf_counter()
        for report in self.steps:
            if isinstance(report, Progress) and report.unit == "step":
                return perf_counter() - started
        return None


def cost() -> Cell:
    with TemporaryDirectory() as folder:
        usual, ours = (Trained(Dense(SEED), kind, Path(folder)) for kind in KINDS)
        pairs = list(iter(lambda: (usual.step(), ours.step()), (None, None)))
    seconds = np.array(pairs, dtype=float)
    held = np.array([ours.held.bytes, usual.held.bytes], dtype=float)
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
    command = [sys.executable, "-m", "benchmarks.rankdyna_cost", "--peak", kind]
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peak", choices=KINDS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peak:
        print_peak(arguments.peak)
        return
    cell = Grid("rankdyna_cost.jsonl").cell({"keep": COST_KEEP, "seed": SEED}, cost)
    print(json.dumps(cell, indent=1))


if __name__ == "__main__":
    main()
