"""What every choice is made on: the headline metric and the loss of the validation split."""

from collections.abc import Generator
from typing import Any

from torch import nn

from core.compression.evaluation.predictions import predict
from core.compression.finetuning.score import Score
from core.compression.progress import Progress
from core.compression.run_state import Resolved, Run
from core.compression.tasks.examples import Examples
from core.compression.tasks.kind import Outputs, TaskKind
from core.errors import HopelessModelError
from core.reporting.numbers import metric_title, metric_unit, metric_value


class Validation:
    """Scores models on one split. The dense model's answers are asked once, if they are needed."""

    def __init__(self, run: Run, examples: Examples):
        self._run = run
        self._examples = examples
        self._dense: Outputs | None = None

    def __call__(self, model: nn.Module) -> Generator[Progress, None, Score]:
        run = self._run
        if run.task.compares_with_dense and self._dense is None:
            self._dense = yield from self.outputs(run.load_dense())
        outputs = yield from self.outputs(model)
        return score(run.task, outputs, self._examples, self._dense)

    def outputs(self, model: nn.Module) -> Generator[Progress, None, Outputs]:
        size, device = self._run.recipe.evaluation.batch_size, self._run.device
        return (
            yield from predict(
                model, self._run.task, self._examples, size, device, "validation row"
            )
        )


def score(
    task: TaskKind[Any], outputs: Outputs, examples: Examples, dense: Outputs | None = None
) -> Score:
    headline, *others = task.metrics(outputs, examples, dense)
    loss = next(metric.value for metric in others if metric.name == task.loss_metric)
    return Score.of(headline.name, headline.value, loss)


def refuse_hopeless(score: Score, task: TaskKind[Any], resolved: Resolved) -> None:
    """
    Raises:
        HopelessModelError: the dense model is no better than an answer that looks at no input.
    """
    baseline = resolved.baseline
    if baseline is None or score.goodness > Score.of(score.metric, baseline, 0).goodness:
        return
    raise HopelessModelError(
        f"The dense model's {metric_title(score.metric)} on the validation split is "
        f"{_shown(score.metric, score.value)}; {task.trivial_answer} gives "
        f"{_shown(score.metric, baseline)}.",
        hint="Adapt it for longer or at another learning rate, or check the columns of the data.",
        pointer="/adaptation" if resolved.adapts else "/adapt",
    )


def _shown(metric: str, value: float) -> str:
    return f"{metric_value(metric, value)} {metric_unit(metric)}".strip()
