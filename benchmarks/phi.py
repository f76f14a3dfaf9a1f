"""Where SVD hurts: φ and its rivals against what is measured, `python -m benchmarks.phi`.

Each of the 36 layers alone is cut by plain SVD to a keep ratio, and the model scored on the 1,000
validation rows. Spearman's ρ over the layers of the drop in accuracy, the rise of the loss and KL
with φ, with the relative tail energy of the plain spectrum and with the predicted loss increase
(the truncation in the two-sided Kronecker metric), each with a percentile bootstrap over layers.

CPU-hours: 0.25 for a seed (72 cells of about ten seconds each, and the statistics), on one thread.
"""

from collections.abc import Callable
from functools import cached_property

import numpy as np
import torch

from benchmarks.grid import Cell, Grid, markdown
from benchmarks.sentiment import SEEDS, Dense
from core.compression.factorization.registry import decompose
from core.compression.low_rank import LowRankLinear
from core.compression.metrics.correlation import spearman
from core.compression.models.layers import linear_layer, replace_layer
from core.compression.statistics.phi import phi
from core.compression.statistics.storage import StoredStatistics
from core.planning.plan import TargetLayer
from core.planning.planner import predicted_increase, retained_energy
from core.recipe.methods import SvdConfig
from core.recipe.statistics import Statistic

KEEP_RATIOS = (0.3, 0.1)
PREDICTORS = ("phi", "phi_in", "tail_energy", "predicted_increase")
DROPS = ("accuracy_drop", "loss_rise", "kl")
SAMPLES = 2000


class Bench:
    """One seed's model, with both what predicts and what is measured."""

    def __init__(self, seed: int):
        self.dense = Dense(seed)
        self.targets = self.dense.run.targets

    @cached_property
    def statistics(self) -> StoredStatistics:
        """F for φ, and the two-sided Grams for the predicted increase."""
        return self.dense.statistics(
            method={"type": "svd"}, allocation={"type": "spectrum"}, calibration={"phi": True}
        )

    @cached_property
    def whole(self) -> tuple[float, float]:
        """The dense model's accuracy and loss."""
        score = self.dense.score(self.dense.model(), "validation")
        return score.accuracy, score.loss

    def cell(self, layer: TargetLayer, keep: float) -> Cell:
        """Only this layer truncated."""
        rank = max(1, int(keep * layer.params / layer.rank_cost))
        statistics, model = self.statistics[layer.name], self.dense.model()
        torch.set_num_threads(1)
        linear = linear_layer(model, layer.name)
        found = decompose(layer.name, linear.weight, statistics, SvdConfig())
        factors = found.truncate(rank)
        replace_layer(model, layer.name, LowRankLinear.from_factors(factors, linear.bias))
        score, (accuracy, loss) = self.dense.score(model, "validation"), self.whole
        value = phi(statistics[Statistic.FISHER])
        return {
            "rank": rank,
            "phi": value,
            "phi_in": value * layer.in_features,
            "tail_energy": 1 - retained_energy(found.spectrum, rank),
            "predicted_increase": predicted_increase(found.spectrum, rank),
            "accuracy_drop": accuracy - score.accuracy,
            "loss_rise": score.loss - loss,
            "kl": score.kl,
        }


def main() -> None:
    grid = Grid("phi.jsonl")
    for seed in SEEDS:
        bench = Bench(seed)
        for keep in KEEP_RATIOS:
            for layer in bench.targets:
                key = {"seed": seed, "keep": keep, "layer": layer.name}
                grid.cell(key, measuring(bench, layer, keep))
    print(table(list(grid)))


def measuring(bench: Bench, layer: TargetLayer, keep: float) -> Callable[[], Cell]:
    return lambda: bench.cell(layer, keep)


def table(cells: list[Cell]) -> str:
    header = ("predictor", "keep", *DROPS)
    rows = [
        (predictor, str(keep), *(shown(cells, keep, predictor, drop) for drop in DROPS))
        for keep in KEEP_RATIOS
        for predictor in PREDICTORS
    ]
    return markdown(header, rows)


def shown(cells: list[Cell], keep: float, predictor: str, drop: str) -> str:
    rho, low, high = correlation(
        [mean_of(cells, keep, layer, predictor) for layer in layers_of(cells)],
        [mean_of(cells, keep, layer, drop) for layer in layers_of(cells)],
    )
    return f"{rho:.2f} [{low:.2f}, {high:.2f}]"


def layers_of(cells: list[Cell]) -> list[str]:
    return list(dict.fromkeys(cell["layer"] for cell in cells))


def mean_of(cells: list[Cell], keep: float, layer: str, column: str) -> float:
    """Over the seeds."""
    found = [c[column] for c in cells if (c["keep"], c["layer"]) == (keep, layer)]
    return float(np.mean(found))


def correlation(predicted: list[float], measured: list[float]) -> tuple[float, float, float]:
    """Spearman's ρ and its 95 % interval: percentile bootstrap over layers."""
    metric, n = spearman(np.array(predicted), np.array(measured)), len(predicted)
    draws = np.random.default_rng(17).multinomial(n, np.full(n, 1 / n), size=SAMPLES)
    low, high = np.percentile(metric.of(draws.astype(np.float32)), [2.5, 97.5])
    return metric.value, float(low), float(high)


if __name__ == "__main__":
    main()
