"""statistics: what the method asks of every target layer, in one pass over calibration rows."""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import torch

from core.compression.layer_statistics import LayerStatistics, PruningScores
from core.compression.methods.seeds import stage_seed
from core.compression.methods.stage import Stage, Summary, Work
from core.compression.methods.stages.prune import load_scores
from core.compression.progress import Progress
from core.compression.run_state import Run
from core.compression.statistics.fisher_loss import Loss
from core.compression.statistics.statistics_pass import StatisticsPass
from core.compression.statistics.storage import StoredStatistics, save_statistics
from core.compression.statistics.streamed_pass import StreamedPass
from core.compression.tasks.batches import Batch, reading_batches

FILE = "statistics.safetensors"
FILES = "statistics*.safetensors"


class Statistics(Stage):
    name = "statistics"
    cached = True

    def nothing_to_do(self, run: Run) -> str | None:
        if run.recipe.needs_statistics:
            return None
        return f"{run.recipe.method.type} with uniform ranks needs none"

    def compute(self, run: Run, folder: Path) -> Work:
        calibration = run.recipe.calibration
        examples = run.examples["train"].head(calibration.rows)
        required = {
            layer.name: run.recipe.required_statistics(layer.out_features, layer.in_features)
            for layer in run.targets
        }
        generator = torch.Generator().manual_seed(stage_seed(run.recipe.dense_seed, self.name))
        model, spool = run.load_unfactorized(), run.checkpoints(self.name)
        shutil.rmtree(spool, ignore_errors=True)
        with (
            StreamedPass(model, required, spool)
            if calibration.streamed
            else StatisticsPass(model, required)
        ) as statistics_pass:
            done = 0
            for batch in reading_batches(
                examples, calibration.batch_size, run.device, run.task.smallest_batch
            ):
                statistics_pass.update(batch.inputs, fisher_loss(run, batch, generator))
                done += len(batch)
                yield Progress(done, len(examples), "example")
            if isinstance(statistics_pass, StreamedPass):
                yield from save_by_block(statistics_pass, folder)
            else:
                save_statistics(folder / FILE, statistics_pass.statistics())

    def summary(self, run: Run) -> Summary:
        return describe_statistics(run) or {}


def save_by_block(streamed: StreamedPass, folder: Path) -> Iterator[Progress]:
    """A file for each, numbered from the first block."""
    total = streamed.block_count
    for done, layers in enumerate(streamed.blocks(), start=1):
        save_statistics(folder / f"statistics-{total - done:05}.safetensors", layers)
        yield Progress(done, total, "block")


def fisher_loss(run: Run, batch: Batch, generator: torch.Generator) -> Loss:
    """The task's own losses of one batch, as the pass asks for them."""
    kind = run.recipe.calibration.fisher
    return lambda model, inputs: run.task.fisher_losses(model, batch, kind, generator)


def describe_statistics(run: Run) -> Summary | None:
    """Counts, and how well two halves of the calibration rows agree (1: perfectly)."""
    stored = load_layer_statistics(run)
    layers = [stored.counts_of(name) for name in stored]
    if not layers:
        return None
    reliability = [value for layer in layers for value in layer.reliability.values()]
    return {
        "examples": layers[0].examples,
        "tokens": layers[0].tokens,
        "reliability_min": min(reliability, default=None),
        "reliability_median": median(reliability) if reliability else None,
    }


@dataclass(frozen=True)
class LayerSums:
    """All that is known of a layer when it is factorized."""

    taken: StoredStatistics
    scores: Mapping[str, PruningScores]

    def get(self, name: str) -> LayerStatistics | None:
        taken = self.taken.get(name)
        if name not in self.scores:
            return taken
        return replace(taken or LayerStatistics({}, 0, 0), scores=self.scores[name])


def load_layer_sums(run: Run) -> LayerSums:
    """The calibration pass's, and those that were kept while pruning."""
    return LayerSums(load_layer_statistics(run), load_scores(run))


def load_layer_statistics(run: Run) -> StoredStatistics:
    """By layer name; nothing where the recipe needs no statistics."""
    folder = run.folder("statistics")
    paths = sorted(folder.glob(FILES)) if run.recipe.needs_statistics else []
    return StoredStatistics(paths, run.device)
