"""How ranks fall in a search, and what its scores tell: `python -m benchmarks.rank_trajectories`.

Six epochs of `rankdyna` on the classifier of `sentiment`, every layer's rank over the steps. At
three of them 100 units are drawn at random over all layers, each is taken out of the model for a
moment, and the loss of 128 training texts is measured without it. How well do the scores that
decide order the units as these changes do (Spearman)? `averaged` is Ī, what deletion goes by;
`first_order` and `group` are of the 128 texts alone, and s is a unit's singular value, which
knows no loss.

CPU-hours, on one thread: 0.3 for the two cells.
"""

import argparse
import json
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.grid import Cell, Grid, markdown
from benchmarks.rank_search import SEED, starting, training
from benchmarks.sentiment import Dense
from core.compression.finetuning.dynamic_ranks import DynamicRanksHook, importance
from core.compression.finetuning.protocol import Hook, Training
from core.compression.finetuning.units import UnitLinear
from core.compression.metrics.correlation import spearman
from core.compression.progress import Structure
from core.compression.tasks.batches import reading_batches
from core.recipe.dynamic_ranks import DynamicRanks

KEEP_RATIOS = (0.1, 0.3)
CONFIG = DynamicRanks(epochs=6, batch_size=16, learning_rate=1e-4)
GROUP = CONFIG.model_copy(update={"importance": "group"})
LOOKS = (0.1, 0.25, 0.5)
"""At these shares of the steps: before the first deletion, in the steep part, in the flat one."""
UNITS, TEXTS = 100, 128


class Deletions(Hook):
    """Takes units out and puts them back; training goes on as if nothing had been."""

    def __init__(self, dense: Dense, search: DynamicRanksHook):
        self.search = search
        texts = dense.examples("train").head(TEXTS)
        self.batches = list(reading_batches(texts, 32, "cpu"))
        self.losses = dense.run.task.training_losses
        self.found: list[Cell] = []

    def before_step(self, training: Training) -> None:
        if training.step not in {int(share * training.steps) for share in LOOKS}:
            return
        gradients = {p: p.grad for p in training.model.parameters()}
        training.model.eval()
        units = self._drawn(training)
        columns = {
            "averaged": [float(self.search.averages[n].importance[i]) for n, i in units],
            "s": [float(self.search.layers[n].s[i].detach().abs()) for n, i in units],
            **self._importances(training.model, units),
        }
        changes = np.array(self._changes(training.model, units))
        training.model.train()
        for parameter, gradient in gradients.items():
            parameter.grad = gradient
        self.found.append(
            {
                "step": training.step,
                "units_ratio": round(self.search.values()["units_ratio"], 3),
                **{name: _rho(column, np.abs(changes)) for name, column in columns.items()},
                "averaged, signed": _rho(columns["averaged"], changes),
                "harmless": round(float((changes <= 0).mean()), 2),
            }
        )

    def _drawn(self, training: Training) -> list[tuple[str, int]]:
        """Live units, each as likely as every other."""
        live = [
            (name, int(unit))
            for name, layer in self.search.layers.items()
            for unit in layer.live.nonzero()[:, 0]
        ]
        order = torch.randperm(len(live), generator=training.generator(9))
        return [live[n] for n in order[:UNITS]]

    def _importances(
        self, model: nn.Module, units: list[tuple[str, int]]
    ) -> dict[str, list[float]]:
        model.zero_grad()
        for batch in self.batches:
            loss = self.losses(model, batch).sum() / TEXTS
            torch.autograd.backward(loss)
        scores = {
            config.importance: {n: importance(layer, config) for n, layer in self._layers()}
            for config in (CONFIG, GROUP)
        }
        return {name: [float(of[n][i]) for n, i in units] for name, of in scores.items()}

    def _layers(self) -> list[tuple[str, UnitLinear]]:
        return list(self.search.layers.items())

    @torch.no_grad()
    def _changes(self, model: nn.Module, units: list[tuple[str, int]]) -> list[float]:
        """Of the mean loss, without one unit at a time."""
        whole, changes = self._loss(model), []
        for name, unit in units:
            s = self.search.layers[name].s
            kept, s[unit] = s[unit].clone(), 0
            changes.append(self._loss(model) - whole)
            s[unit] = kept
        return changes

    def _loss(self, model: nn.Module) -> float:
        return (
            float(sum(self.losses(model, batch).double().sum() for batch in self.batches)) / TEXTS
        )


def _rho(scores: list[float], changes: np.ndarray) -> float:
    return round(spearman(np.array(scores), changes).value, 3)


def search(keep: float) -> Cell:
    dense = Dense(SEED)
    model, hooks = starting(dense, keep, CONFIG)
    deletions = Deletions(dense, hooks[0])
    ranks: list[tuple[int, dict[str, Any]]] = []
    with TemporaryDirectory() as folder:
        # deletions are looked at once Ī has seen the step, and before it decides
        steps = training(dense, model, CONFIG, Path(folder) / "search", [*hooks, deletions])
        for report in steps:
            if isinstance(report, Structure):
                ranks.append((report.step, {each.name: each.rank for each in report.layers}))
    return {
        "deletions": deletions.found,
        "steps": [step for step, _ in ranks],
        "ranks": {name: [each[name] for _, each in ranks] for name in ranks[0][1]},
    }


def table(cells: list[Cell]) -> str:
    header = ("keep, step", "units left", "averaged", "first_order", "group", "s", "harmless")
    rows = [
        (
            f"{cell['keep']}, {look['step']}",
            f"{look['units_ratio']:.2f}",
            *(f"{look[name]:.2f}" for name in header[2:6]),
            f"{100 * look['harmless']:.0f} %",
        )
        for cell in cells
        for look in cell["deletions"]
    ]
    return markdown(header, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--summary", action="store_true")
    grid = Grid("rank_trajectories.jsonl")
    if not parser.parse_args().summary:
        for keep in KEEP_RATIOS:
            cell = grid.cell({"keep": keep, "seed": SEED}, partial(search, keep))
            print(json.dumps(cell["deletions"], indent=1))
    print(table(list(grid)))


if __name__ == "__main__":
    main()
