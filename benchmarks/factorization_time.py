"""Table 5: factorization time on SmolLM2-135M.

    python -m benchmarks.factorization_time [--blocks N] [--threads N]

For target layers of the real decoder, at keep 0.8 with uniform ranks, in turn within one process:

    svd_llm, kfac      the product's own: `decompose` on the Grams that a job keeps and `truncate`;
    usual              SVD-LLM's published recipe: A = L Lᵀ, L⁻¹, the full SVD W L = U Σ Vᵀ, and
                       the factors U_k Σ_k^½ and Σ_k^½ V_kᵀ L⁻¹; all in float64;
    two roots          kfac by G^½ and A^½ of `eigh`, the SVD G^½ W A^½ = U Σ Vᵀ, and the factors
                       G^-½ U_k Σ_k and V_kᵀ A^-½; all in float64.

All are handed float64 Grams and a float32 weight and return float32 factors. Each cell is a layer
and a route; seconds are the least of `REPEATS`. Beside them stands the relative weighted error of
the factors as returned, ‖L (W − Ŵ) R‖ / ‖L W R‖, from the whole A (and damped G for the two-sided)
in float64, the same code for both routes of a metric. Goals: svd_llm and kfac at most 1/3 of
the time of `usual`, kfac at most 1/5 of `two roots`, at the same or lower error.

A is of 4,096 tokens of Brown: more than features. Where `usual` finds no Cholesky root even so, it
lifts the diagonal.

Finished cells stand in benchmarks/grids/factorization_time.jsonl. Cost: about 0.2 CPU-hours for all
30 blocks (210 layers, 840 cells) on one thread.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import torch
from torch import Tensor

from benchmarks.decoder import BATCH, LENGTH, Decoder, Size
from benchmarks.grid import Cell, Grid, markdown
from core.compression.factorization.registry import decompose
from core.compression.layer_statistics import LayerStatistics
from core.compression.low_rank import Factors
from core.compression.methods.stages.statistics import fisher_loss
from core.compression.models.layers import linear_layer
from core.compression.statistics.streamed_pass import StreamedPass
from core.compression.tasks.batches import reading_batches
from core.planning.plan import TargetLayer
from core.recipe.methods import KfacConfig, Method, SvdLlmConfig
from core.recipe.statistics import Statistic

KEEP = 0.8
TOKENS = 4096
REPEATS = 2
CONFIGS: dict[str, Method] = {"svd_llm": SvdLlmConfig(), "kfac": KfacConfig()}
ROUTES = ("svd_llm", "usual", "kfac", "two roots")
TWO_SIDED = ("kfac", "two roots")
GOALS = (("svd_llm", "usual", 1 / 3), ("kfac", "usual", 1 / 3), ("kfac", "two roots", 1 / 5))
GRAMS = frozenset(
    {
        Statistic.INPUT_GRAM,
        Statistic.OUTPUT_GRAD_GRAM,
        Statistic.OUTPUT_GRAM,
        Statistic.INPUT_GRAD_GRAM,
    }
)
PASSED = frozenset({Statistic.OUTPUT_GRAD_GRAM})
"""Of layers that are not measured: gradients go on through them."""


@dataclass(frozen=True)
class Layer:
    weight: Tensor
    statistics: LayerStatistics
    """Of both sides; the product is shown those of the smaller."""
    rank: int

    @property
    def a(self) -> Tensor:
        return self.statistics[Statistic.INPUT_GRAM]

    @property
    def g(self) -> Tensor:
        """Damped as `kfac` damps it."""
        g, damping = self.statistics[Statistic.OUTPUT_GRAD_GRAM], KfacConfig().output_damping
        return g + damping * g.diagonal().mean() * torch.eye(len(g)).double()

    def factors(self, route: str) -> Factors:
        if route == "usual":
            return usual(self.weight, self.a, self.rank)
        if route == "two roots":
            return two_roots(self.weight, self.a, self.g, self.rank)
        return self.ours(CONFIGS[route])

    def ours(self, config: Method) -> Factors:
        asked = config.required_statistics(*self.weight.shape)
        known = self.statistics
        kept = LayerStatistics(
            {name: known[name] for name in asked}, known.examples, known.tokens, known.traces
        )
        return decompose("layer", self.weight, kept, config).truncate(self.rank)

    def error(self, factors: Factors, route: str) -> float:
        """‖L (W − Ŵ) R‖ / ‖L W R‖."""
        weight = self.weight.double()
        g = self.g if route in TWO_SIDED else torch.eye(len(weight)).double()

        def squared(e: Tensor) -> float:
            return float((g @ e @ self.a * e).sum())

        lost = squared(weight - factors.outer.double() @ factors.inner.double())
        return float((lost / squared(weight)) ** 0.5)


def usual(weight: Tensor, a: Tensor, rank: int) -> Factors:
    lower, failed = torch.linalg.cholesky_ex(a)
    if failed:
        lower = torch.linalg.cholesky(lifted(a))
    inverse = torch.linalg.inv(lower)
    u, s, vt = torch.linalg.svd(weight.double() @ lower, full_matrices=False)
    roots = s[:rank].sqrt()
    outer, inner = u[:, :rank] * roots, roots[:, None] * vt[:rank] @ inverse
    return Factors(outer.to(weight.dtype), inner.to(weight.dtype))


def lifted(a: Tensor) -> Tensor:
    """As SVD-LLM's published code does it where no root is found: by its lowest eigenvalue, and by
    1e-6; by doubled amounts until there is one."""
    amount = 1e-6 - float(torch.linalg.eigvalsh(a)[0])
    while torch.linalg.cholesky_ex(a + amount * torch.eye(len(a)).double())[1]:
        amount *= 2
    return a + amount * torch.eye(len(a)).double()


def two_roots(weight: Tensor, a: Tensor, g: Tensor, rank: int) -> Factors:
    left, left_inverse = root_and_inverse(g)
    right, right_inverse = root_and_inverse(a)
    u, s, vt = torch.linalg.svd(left @ weight.double() @ right, full_matrices=False)
    outer, inner = left_inverse @ u[:, :rank] * s[:rank], vt[:rank] @ right_inverse
    return Factors(outer.to(weight.dtype), inner.to(weight.dtype))


def root_and_inverse(gram: Tensor) -> tuple[Tensor, Tensor]:
    values, vectors = torch.linalg.eigh(gram)
    roots = values.clamp(min=1e-15 * float(values[-1])).sqrt()
    return vectors * roots @ vectors.T, vectors / roots @ vectors.T


class Bench:
    def __init__(self, threads: int):
        self.run = Decoder(Size(TOKENS, TOKENS, TOKENS), threads).run_of(method={"type": "kfac"})
        self.model = self.run.load_dense()

    def targets(self, blocks: int) -> dict[str, TargetLayer]:
        """Of so many blocks, spread evenly over the model's depth."""
        by_block: dict[str, list[TargetLayer]] = {}
        for target in self.run.targets:
            by_block.setdefault(target.name.split(".")[2], []).append(target)
        whole = list(by_block.values())
        taken = [whole[(2 * n + 1) * len(whole) // (2 * blocks)] for n in range(blocks)]
        return {target.name: target for block in taken for target in block}

    def layers(self, targets: dict[str, TargetLayer]) -> Iterator[tuple[str, Layer]]:
        """With both sides' Grams of the real tokens, a block at a time, from the last."""
        examples = self.run.examples["train"].head(TOKENS // LENGTH)
        asked = {each.name: GRAMS if each.name in targets else PASSED for each in self.run.targets}
        with (
            TemporaryDirectory() as spool,
            StreamedPass(self.model, asked, Path(spool)) as streamed,
        ):
            for batch in reading_batches(examples, BATCH, "cpu"):
                streamed.update(
                    batch.inputs, fisher_loss(self.run, batch, torch.Generator().manual_seed(17))
                )
            for block in streamed.blocks():
                for name in block.keys() & targets.keys():
                    statistics = block[name]
                    weight = linear_layer(self.model, name).weight.detach()
                    yield name, Layer(weight, statistics, rank_of(targets[name]))


def rank_of(target: TargetLayer) -> int:
    return int(KEEP * target.params / target.rank_cost)


def measure(layer: Layer, route: str) -> Cell:
    times = []
    for _ in range(REPEATS):
        started = perf_counter()
        factors = layer.factors(route)
        times.append(perf_counter() - started)
    shape = "×".join(map(str, layer.weight.shape))
    error = layer.error(factors, route)
    return {"shape": shape, "rank": layer.rank, "route_seconds": min(times), "error": error}


def table(cells: list[Cell]) -> str:
    """Seconds summed over the layers of a shape, and of all; the mean error."""
    header = ("layers", *(f"{route}, s" for route in ROUTES), *(f"{r}, error" for r in ROUTES))
    shapes = list(dict.fromkeys(cell["shape"] for cell in cells))
    return markdown(header, [row(cells, shape) for shape in shapes] + [row(cells, "")])


def row(cells: list[Cell], shape: str) -> tuple[str, ...]:
    of = {
        route: [c for c in cells if c["route"] == route and shape in c["shape"]] for route in ROUTES
    }
    count = len(of[ROUTES[0]])
    return (
        f"{count} of {shape}" if shape else f"all {count}",
        *(f"{total(of[route], 'route_seconds'):.2f}" for route in ROUTES),
        *(f"{total(of[route], 'error') / count:.6f}" for route in ROUTES),
    )


def total(cells: list[Cell], field: str) -> float:
    return float(sum(cell[field] for cell in cells))


def verdicts(cells: list[Cell]) -> Iterator[str]:
    """Time as a share, and how far a layer's error is above the other route's at the most."""
    for ours, other, goal in GOALS:
        mine = {c["layer"]: c for c in cells if c["route"] == ours}
        theirs = {c["layer"]: c for c in cells if c["route"] == other}
        seconds = [total(list(each.values()), "route_seconds") for each in (mine, theirs)]
        share = seconds[0] / seconds[1]
        met = "met" if share <= goal else "missed"
        yield f"{ours} against {other}: {share:.3f} of the time; goal {goal:.3f}: {met}"
        if (ours in TWO_SIDED) == (other in TWO_SIDED):
            above = max(mine[name]["error"] / theirs[name]["error"] - 1 for name in mine)
            yield f"    highest excess of a layer's error: {above:.1e}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blocks", type=int, default=30)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    bench, grid = Bench(options.threads), Grid("factorization_time.jsonl")
    targets = bench.targets(options.blocks)
    keys = [{"layer": name, "route": route} for name in targets for route in ROUTES]
    if any(grid.find(key) is None for key in keys):
        for name, layer in bench.layers(targets):
            for route in ROUTES:
                key = {"layer": name, "route": route}
                grid.cell(key, partial(measure, layer, route))
    cells = [cell for key in keys if (cell := grid.find(key)) is not None]
    print(f"\n{table(cells)}\n")
    print("\n".join(verdicts(cells)))


if __name__ == "__main__":
    main()
