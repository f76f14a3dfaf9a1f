"""evaluate: dense, factorized and fine-tuned on the same rows; latency against dense.

The test split is read here only, once by each model, and not at all where the recipe is one of
several to choose from. The validation split says what the plan's
predicted loss increase has to be multiplied by, where no candidate did before.
"""

from collections.abc import Generator, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from torch import nn

from core.compression.evaluation.changed_answers import compare_answers
from core.compression.evaluation.latency import Latency, measure_latency
from core.compression.evaluation.metrics import Bootstrap, compare
from core.compression.evaluation.predictions import predict
from core.compression.methods.compressed import final_stage, load_compressed
from core.compression.methods.loss_increase import measure_increase, measures_increase
from core.compression.methods.seeds import stage_seed
from core.compression.methods.stage import Stage, Summary, Work
from core.compression.progress import Notice, Progress
from core.compression.run_state import Run, write_json
from core.compression.tasks.examples import Examples
from core.compression.tasks.kind import Outputs
from core.recipe.events import AnswersCompared, Event, MetricMeasured, Phase
from core.reporting.latency import speed_in_words


class Evaluate(Stage):
    name = "evaluate"

    def compute(self, run: Run, folder: Path) -> Work:
        config = run.recipe.evaluation
        rows = evaluated(run)
        outputs = yield from predict_phases(run)
        for phase, arrays in outputs.items():
            np.savez(folder / f"{phase}.npz", **arrays)  # type: ignore[arg-type]
        seed = stage_seed(run.recipe.seed, self.name)
        bootstrap = Bootstrap(rows.row_count, config.bootstrap_samples, config.confidence, seed)
        measured = compare(
            outputs, lambda ours, dense: run.task.metrics(ours, rows, dense), bootstrap
        )
        if (compared := compare_phases(run, outputs)) is not None:
            write_json(folder / "answers.json", compared.model_dump(mode="json"))
        if measures_increase(run.plan):
            yield from measure_increase(run)
        latency = yield from measure_latency(
            run.load_dense(),
            load_compressed(run, final_stage(run)),
            rows,
            config.latency_batch,
            config.latency_repeats,
            run.device,
            config.confidence,
        )
        yield said_plainly(latency)
        metrics = {
            phase: {name: asdict(measured) for name, measured in measurements.items()}
            for phase, measurements in measured.items()
        }
        write_json(folder / "evaluation.json", {"metrics": metrics, "latency": asdict(latency)})

    def facts(self, run: Run) -> Iterator[Event]:
        for phase, metrics in run.read(self.name, "evaluation.json")["metrics"].items():
            for name, measured in metrics.items():
                yield MetricMeasured(phase=phase, name=name, **measured)
        if (compared := answers_compared(run)) is not None:
            yield compared

    def summary(self, run: Run) -> Summary:
        evaluation = run.read(self.name, "evaluation.json")
        name = run.resolved.metric
        values = {
            f"{phase}_{name}": metrics[name]["value"]
            for phase, metrics in evaluation["metrics"].items()
        }
        return {**values, "speedup": evaluation["latency"]["speedup"]}


def evaluated(run: Run) -> Examples:
    return run.examples[run.recipe.evaluation.split]


def phases(run: Run) -> tuple[Phase, ...]:
    tuned: tuple[Phase, ...] = ("finetuned",) if run.recipe.recovers else ()
    return ("dense", "factorized", *tuned)


def load_phase(run: Run, phase: Phase) -> nn.Module:
    stages = {"factorized": "factorize", "finetuned": "finetune"}
    return run.load_dense() if phase == "dense" else load_compressed(run, stages[phase])


def predict_phases(run: Run) -> Generator[Progress, None, dict[str, Outputs]]:
    """What every phase's model answers."""
    rows, batch_size = evaluated(run), run.recipe.evaluation.batch_size
    outputs: dict[str, Outputs] = {}
    for number, phase in enumerate(phases(run)):
        work = predict(load_phase(run, phase), run.task, rows, batch_size, run.device)
        outputs[phase] = yield from counted_on(
            work, number * len(rows), len(phases(run)) * len(rows)
        )
    return outputs


def compare_phases(run: Run, outputs: Mapping[str, Outputs]) -> AnswersCompared | None:
    """The result's answers and the dense model's; None where the task's rows have no answers."""
    rows, names, last = evaluated(run), run.resolved.label_names, phases(run)[-1]
    dense, result = (run.task.answers(outputs[p], rows, names) for p in ("dense", last))
    if dense is None or result is None:
        return None
    config = run.recipe.evaluation
    texts = run.task.shown(run.data, getattr(run.splits, config.split))
    return compare_answers(dense, result, texts, last, config.changed_answers)


def answers_compared(run: Run) -> AnswersCompared | None:
    path = run.folder(Evaluate.name) / "answers.json"
    return AnswersCompared.model_validate_json(path.read_bytes()) if path.exists() else None


def counted_on(
    work: Generator[Progress, None, Outputs], before: int, total: int
) -> Generator[Progress, None, Outputs]:
    """The same work as one of several parts."""
    while True:
        try:
            progress = next(work)
        except StopIteration as finished:
            outputs: Outputs = finished.value
            return outputs
        yield replace(progress, done=before + progress.done, total=total)


def said_plainly(latency: Latency) -> Notice:
    words = speed_in_words(latency.speedup, latency.speedup_interval)
    slower = latency.speedup_interval[1] < 1
    return Notice(
        f"At batch {latency.batch}, {latency.threads} threads, {latency.device}: {words}.",
        "warning" if slower else "info",
    )
