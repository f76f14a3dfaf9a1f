"""A keep ratio for each type of layer, searched for by the validation loss.

Ji et al., Feature-based low-rank compression of large language models via Bayesian optimization
(Bolaco), 2024: a Gaussian process models the loss over ratios per type of layer, and proposes the
next ones. Here with Optuna's GPSampler (Matérn 5/2 with a length scale for each ratio, log expected
improvement). Only proportions are searched, on a logarithmic scale: each proposal is brought onto
the budget exactly (core.planning.allocation.by_type). The first trial has equal ratios, so what is
found measures no worse than these.

The sampler is seeded, and after an interruption it is asked and told again from the first trial on,
with the losses that the journal has: the search goes on exactly as it would have.
"""

from collections.abc import Generator, Mapping
from typing import Any

import optuna

from core.compression.allocation.scorer import Measured
from core.compression.allocation.search import Search
from core.compression.allocation.trials import Trials
from core.compression.progress import Checkpointed, Progress
from core.planning.allocation.by_type import ranks_by_type, type_of
from core.planning.budgets import kept_params, target_params
from core.planning.plan import Plan, Ranks, TargetLayer
from core.recipe.budget import BayesianAllocation

LEAST = 0.05
"""The smallest proportion between two types' ratios."""


def searched_plan(
    search: Search, allocation: BayesianAllocation, allowance: int
) -> Generator[Progress | Checkpointed, None, Plan]:
    types = sorted({type_of(name) for name in search.decompositions})
    study = _study(types, search.seed)
    trials = Trials(search, search.scorer(allocation.rows), "trial", _ratios_by_type(search))
    tried: list[Ranks] = []
    for number in range(allocation.trials):
        trial = study.ask(_proportions(types))
        tried.append(ranks_by_type(search.layers, allocation, allowance, trial.params))
        candidate = yield from trials.of(tried[-1], allocation.trials - number)
        study.tell(trial, candidate.measured_loss_increase)
    return trials.chosen(tried[study.best_trial.number])


def _study(types: list[str], seed: int) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.GPSampler(seed=seed))
    study.enqueue_trial(dict.fromkeys(types, 1.0))
    return study


def _proportions(types: list[str]) -> dict[str, optuna.distributions.BaseDistribution]:
    return {name: optuna.distributions.FloatDistribution(LEAST, 1.0, log=True) for name in types}


def _ratios_by_type(search: Search) -> Any:
    def judge(ranks: Ranks, dense: Measured, found: Measured) -> dict[str, Any]:
        return {"keep_ratios": keep_ratios(search.layers, ranks)}

    return judge


def keep_ratios(layers: tuple[TargetLayer, ...], ranks: Ranks) -> Mapping[str, float]:
    """What each type keeps of its parameters."""
    groups: dict[str, list[TargetLayer]] = {}
    for layer in layers:
        groups.setdefault(type_of(layer.name), []).append(layer)
    return {
        name: sum(kept_params(layer, ranks[layer.name]) for layer in group) / target_params(group)
        for name, group in groups.items()
    }
