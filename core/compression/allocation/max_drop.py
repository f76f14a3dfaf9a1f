"""The smallest model within a stated loss of a metric.

By bisection over keep ratios of the targets (core.planning.bisection says what that takes for
granted): each candidate is planned by the recipe's allocation, cut from the layers' decompositions,
and measured on the whole validation split, before any fine-tuning. What decides is the drop itself;
its paired bootstrap interval is told beside it. The plan that is taken was measured and met, or
everything stays dense.
"""

from collections.abc import Callable, Generator
from typing import Any

from core.compression.allocation.scorer import Measured
from core.compression.allocation.search import Search
from core.compression.allocation.trials import Trials
from core.compression.evaluation.metrics import Bootstrap
from core.compression.metrics.metric import Metric
from core.compression.progress import Checkpointed, Notice, Progress
from core.errors import RecipeError
from core.planning.bisection import Bisection
from core.planning.budgets import floor_params, share, target_params
from core.planning.plan import Plan, Ranks
from core.planning.planner import all_dense
from core.recipe.budget import MaxDropBudget
from core.reporting.numbers import higher_is_better, metric_title

RanksWithin = Callable[[int], Ranks]
"""The allocation: ranks of at most so many parameters."""
ROUNDING = 1e-9
"""0.9 − 0.89 is not quite 0.01."""


def smallest_plan(
    search: Search, budget: MaxDropBudget, ranks_within: RanksWithin
) -> Generator[Progress | Checkpointed | Notice, None, Plan]:
    trials = Trials(search, search.scorer(None), "candidate", Drop(search, budget))
    total = target_params(search.layers)
    floor = floor_params(search.layers, search.recipe.allocation) / total
    bisection = Bisection(floor, budget.tolerance, budget.evaluations)
    taken = all_dense(search.layers)
    while (ratio := bisection.question) is not None:
        ranks = ranks_within(share(ratio, total))
        candidate = yield from trials.of(ranks, bisection.questions_left)
        taken = ranks if candidate.meets else taken
        bisection.answer(bool(candidate.meets))
    if bisection.found is None:
        yield Notice(nothing_met(search, budget, trials), "warning")
    return trials.chosen(taken)


class Drop:
    """How much worse than dense a candidate is, whichever way the metric points."""

    def __init__(self, search: Search, budget: MaxDropBudget):
        self._metric, self._most = budget.metric or search.task.headline, budget.abs
        config = search.recipe.evaluation
        rows, samples = search.validation.row_count, config.bootstrap_samples
        self._bootstrap = Bootstrap(rows, samples, config.confidence, search.seed)

    def __call__(self, ranks: Ranks, dense: Measured, found: Measured) -> dict[str, Any]:
        metric = self._of(found)
        drop, interval = worsening(self._bootstrap, metric, dense.metrics.get(metric.name))
        return {
            "metric": metric.name,
            "value": metric.value,
            "drop": drop,
            "drop_interval": interval,
            "meets": drop <= self._most + ROUNDING,
        }

    def _of(self, found: Measured) -> Metric:
        if self._metric not in found.metrics:
            raise RecipeError(
                f"{metric_title(self._metric)} is not measured on this data.",
                hint=f"Name one of {', '.join(found.metrics)}.",
                pointer="/budget/metric",
            )
        return found.metrics[self._metric]


def worsening(
    bootstrap: Bootstrap, metric: Metric, dense: Metric | None
) -> tuple[float, tuple[float, float]]:
    """With its paired interval. What the dense model has no value of (its distance from itself) is
    0 there."""
    measured = bootstrap.measure(metric, dense)
    if measured.drop is None or measured.drop_interval is None:
        return measured.value, measured.interval
    low, high = measured.drop_interval
    if higher_is_better(metric.name):
        return measured.drop, (low, high)
    return -measured.drop, (-high, -low)


def nothing_met(search: Search, budget: MaxDropBudget, trials: Trials) -> str:
    metric = metric_title(budget.metric or search.task.headline)
    largest = max((candidate.keep_ratio for candidate in trials.candidates), default=None)
    if largest is None:
        return "No layer may be factorized: everything stays dense."
    return (
        f"No factorized plan, up to a keep ratio of {largest:.3g}, is within {budget.abs:g} of the "
        f"dense model's {metric}: everything stays dense."
    )
