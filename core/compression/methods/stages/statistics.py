"""statistics: what the method asks of every target layer, in one pass over calibration rows."""

from pathlib import Path
from statistics import median

import torch

from core.compression.layer_statistics import LayerStatistics
from core.compression.methods.seeds import stage_seed
from core.compression.methods.stage import Stage, Summary, Work
from core.compression.progress import Progress
from core.compression.run_state import Run
from core.compression.statistics.fisher_loss import Loss
from core.compression.statistics.statistics_pass import StatisticsPass
from core.compression.statistics.storage import load_statistics, save_statistics
from core.compression.tasks.batches import Batch, reading_batches

FILE = "statistics.safetensors"


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
        generator = torch.Generator().manual_seed(stage_seed(run.recipe.seed, self.name))
        done = 0
        with StatisticsPass(run.load_dense(), required) as statistics_pass:
            for batch in reading_batches(
                examples, calibration.batch_size, run.device, run.task.smallest_batch
            ):
                statistics_pass.update(batch.inputs, fisher_loss(run, batch, generator))
                done += len(batch)
                yield Progress(done, len(examples), "example")
            save_statistics(folder / FILE, statistics_pass.statistics())

    def summary(self, run: Run) -> Summary:
        return describe_statistics(run) or {}


def fisher_loss(run: Run, batch: Batch, generator: torch.Generator) -> Loss:
    """The task's own losses of one batch, as the pass asks for them."""
    kind = run.recipe.calibration.fisher
    return lambda model, inputs: run.task.fisher_losses(model, batch, kind, generator)


def describe_statistics(run: Run) -> Summary | None:
    """Counts, and how well two halves of the calibration rows agree (1: perfectly)."""
    layers = list(load_layer_statistics(run).values())
    if not layers:
        return None
    reliability = [value for layer in layers for value in layer.reliability.values()]
    return {
        "examples": layers[0].examples,
        "tokens": layers[0].tokens,
        "reliability_min": min(reliability, default=None),
        "reliability_median": median(reliability) if reliability else None,
    }


def load_layer_statistics(run: Run) -> dict[str, LayerStatistics]:
    """By layer name; nothing where the recipe needs no statistics."""
    return load_statistics(run.folder("statistics") / FILE) if run.recipe.needs_statistics else {}
