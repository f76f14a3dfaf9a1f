"""The plan of a recipe that goes by what is measured on the validation split."""

from collections.abc import Generator
from functools import partial

from core.compression.allocation.max_drop import smallest_plan
from core.compression.allocation.search import Search
from core.compression.progress import Checkpointed, Notice, Progress
from core.planning.allocation.sensitivity import Increases, sensitivity_ranks
from core.planning.budgets import refuse_unknown_names, target_allowance
from core.planning.plan import Plan, Ranks
from core.planning.planner import ranks_within
from core.recipe.budget import (
    BayesianAllocation,
    MaxDropBudget,
    RankRatioBudget,
    SensitivityAllocation,
)


def measured_plan(
    search: Search, increases: Increases
) -> Generator[Progress | Checkpointed | Notice, None, Plan]:
    """`increases` are those of the allocation `sensitivity`, and read by it alone."""
    budget, allocation = search.recipe.budget, search.recipe.allocation
    within = partial(spread, search, increases)
    if isinstance(budget, MaxDropBudget):
        refuse_unknown_names(search.layers, allocation)
        return (yield from smallest_plan(search, budget, within))
    assert not isinstance(budget, RankRatioBudget), "a rank_ratio fixes every rank"
    allowance = target_allowance(budget, search.layers, search.model_params, allocation)
    if isinstance(allocation, BayesianAllocation):
        # here, since every runner reads this module and Optuna takes a second to import
        from core.compression.allocation.bayesian import searched_plan

        return (yield from searched_plan(search, allocation, allowance))
    return search.plan_of(within(allowance))


def spread(search: Search, increases: Increases, allowance: int) -> Ranks:
    allocation = search.recipe.allocation
    if isinstance(allocation, SensitivityAllocation):
        return sensitivity_ranks(search.layers, allocation, allowance, increases)
    return ranks_within(search.layers, allocation, allowance, search.spectra)
