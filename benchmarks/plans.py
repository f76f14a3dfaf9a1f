"""Ten budgets from one set of spectra: `python -m benchmarks.plans` prints a Markdown row.

The spectra are synthetic, in the shape of a six-layer MiniLM (36 targets): power laws with a
seeded decay per layer, convex as those of kfac are. The time covers whole plans.
"""

from time import perf_counter

import numpy as np

from core.planning.plan import Plan, Spectrum, TargetLayer
from core.planning.planner import make_plan
from core.recipe import Recipe
from core.recipe.budget import KeepRatioBudget
from core.recipe.sources import PathDataset, PathModel
from core.recipe.task import TextClassification

KEEP_RATIOS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.75, 0.9)
MODEL_PARAMS = 22_713_216
SHAPES = (*[(384, 384)] * 4, (1536, 384), (384, 1536))
BLOCKS = 6
REPEATS = 5


def main() -> None:
    layers = minilm_layers()
    spectra = power_law_spectra(layers, np.random.default_rng(17))
    seconds = min(_seconds(layers, spectra) for _ in range(REPEATS))
    print("| what | layers | plans | best of | total |\n|---|---|---|---|---|")
    print(
        f"| plans from cached spectra | {len(layers)} | {len(KEEP_RATIOS)} | {REPEATS} "
        f"| {1000 * seconds:.0f} ms |"
    )


def minilm_layers() -> tuple[TargetLayer, ...]:
    return tuple(
        TargetLayer(f"block.{block}.linear.{position}", *shape)
        for block in range(BLOCKS)
        for position, shape in enumerate(SHAPES)
    )


def power_law_spectra(
    layers: tuple[TargetLayer, ...], generator: np.random.Generator
) -> dict[str, Spectrum]:
    return {layer.name: _power_law(layer, generator) for layer in layers}


def plan_all(layers: tuple[TargetLayer, ...], spectra: dict[str, Spectrum]) -> list[Plan]:
    recipes = (recipe_keeping(ratio) for ratio in KEEP_RATIOS)
    return [make_plan(layers, MODEL_PARAMS, recipe, spectra) for recipe in recipes]


def recipe_keeping(ratio: float) -> Recipe:
    return Recipe(
        model=PathModel(path="minilm"),
        task=TextClassification(dataset=PathDataset(path="texts.csv")),
        budget=KeepRatioBudget(value=ratio),
    )


def _power_law(layer: TargetLayer, generator: np.random.Generator) -> Spectrum:
    scale, decay = generator.lognormal(0, 1), generator.uniform(0.8, 2)
    squared = np.asarray(scale * np.arange(1, layer.full_rank + 1) ** -decay, np.float64)
    dropped = np.append(np.cumsum(squared[::-1])[::-1], 0.0)
    return Spectrum(squared, dropped / 2)


def _seconds(layers: tuple[TargetLayer, ...], spectra: dict[str, Spectrum]) -> float:
    start = perf_counter()
    plan_all(layers, spectra)
    return perf_counter() - start


if __name__ == "__main__":
    main()
