"""evaluate: dense, factorized and fine-tuned on the same test rows; latency against dense.

The test split is read here only, once by each model.
"""

from collections.abc import Generator, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from core.compression.evaluation.latency import Latency, measure_latency
from core.compression.evaluation.metrics import Bootstrap, compare
from core.compression.evaluation.predictions import predict
from core.compression.methods.compressed import final_stage, load_compressed
from core.compression.methods.seeds import stage_seed
from core.compression.methods.stage import Stage, Summary, Work
from core.compression.progress import Notice, Progress
from core.compression.run_state import Run, write_json
from core.recipe.events import Event, MetricMeasured, Phase
from core.reporting.latency import speed_in_words

Logits = NDArray[np.float64]


class Evaluate(Stage):
    name = "evaluate"

    def compute(self, run: Run, folder: Path) -> Work:
        config = run.recipe.evaluation
        logits = yield from predict_phases(run)
        np.savez(folder / "logits.npz", **logits)  # type: ignore[arg-type]
        labels = run.examples["test"].labels.numpy()
        seed = stage_seed(run.recipe.seed, self.name)
        bootstrap = Bootstrap(len(labels), config.bootstrap_samples, config.confidence, seed)
        latency = yield from measure_latency(
            run.load_dense(),
            load_compressed(run, final_stage(run)),
            run.examples["test"],
            config.latency_batch,
            config.latency_repeats,
            run.device,
            config.confidence,
        )
        yield said_plainly(latency)
        metrics = {
            phase: {name: asdict(measured) for name, measured in measurements.items()}
            for phase, measurements in compare(logits, labels, bootstrap).items()
        }
        write_json(folder / "evaluation.json", {"metrics": metrics, "latency": asdict(latency)})

    def facts(self, run: Run) -> Iterator[Event]:
        for phase, metrics in run.read(self.name, "evaluation.json")["metrics"].items():
            for name, measured in metrics.items():
                yield MetricMeasured(phase=phase, name=name, **measured)

    def summary(self, run: Run) -> Summary:
        evaluation = run.read(self.name, "evaluation.json")
        accuracy = {
            f"{phase}_accuracy": metrics["accuracy"]["value"]
            for phase, metrics in evaluation["metrics"].items()
        }
        return {**accuracy, "speedup": evaluation["latency"]["speedup"]}


def phases(run: Run) -> tuple[Phase, ...]:
    tuned: tuple[Phase, ...] = ("finetuned",) if run.recipe.finetune.type != "none" else ()
    return ("dense", "factorized", *tuned)


def load_phase(run: Run, phase: Phase) -> nn.Module:
    stages = {"factorized": "factorize", "finetuned": "finetune"}
    return run.load_dense() if phase == "dense" else load_compressed(run, stages[phase])


def predict_phases(run: Run) -> Generator[Progress, None, dict[str, Logits]]:
    """The logits of every phase's model on the test split."""
    test, batch_size = run.examples["test"], run.recipe.evaluation.batch_size
    logits: dict[str, Logits] = {}
    for number, phase in enumerate(phases(run)):
        work = predict(load_phase(run, phase), test, batch_size, run.device)
        logits[phase] = yield from counted_on(
            work, number * len(test), len(phases(run)) * len(test)
        )
    return logits


def counted_on(
    work: Generator[Progress, None, Logits], before: int, total: int
) -> Generator[Progress, None, Logits]:
    """The same work as one of several parts."""
    while True:
        try:
            progress = next(work)
        except StopIteration as finished:
            logits: Logits = finished.value
            return logits
        yield replace(progress, done=before + progress.done, total=total)


def said_plainly(latency: Latency) -> Notice:
    words = speed_in_words(latency.speedup, latency.speedup_interval)
    slower = latency.speedup_interval[1] < 1
    return Notice(
        f"At batch {latency.batch}, {latency.threads} threads, {latency.device}: {words}.",
        "warning" if slower else "info",
    )
