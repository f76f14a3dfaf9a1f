"""The plan: a rank for every target layer, and what it is predicted to cost."""

from collections.abc import Mapping, Sequence

from core.planning.allocation.spectrum import spectrum_ranks
from core.planning.allocation.uniform import rank_ratio_ranks, uniform_ranks
from core.planning.budgets import (
    kept_params,
    refuse_unknown_names,
    target_allowance,
    target_params,
)
from core.planning.plan import LayerPlan, Plan, Ranks, Spectrum, TargetLayer
from core.recipe.budget import (
    AllocationConfig,
    MaxDropBudget,
    RankRatioBudget,
    SpectrumAllocation,
)
from core.recipe.recipe import Recipe

Spectra = Mapping[str, Spectrum]


def make_plan(
    layers: Sequence[TargetLayer], model_params: int, recipe: Recipe, spectra: Spectra | None
) -> Plan:
    """The plan of a recipe for these layers of a model with `model_params` parameters.

    Without spectra nothing is predicted, and ranks that would be spread by them, or by what is
    measured, are uniform within the allocation's own limits. A max_drop, whose size is measured
    too, has everything dense here, which is the most that its search can end with. Raises
    BudgetError where the budget is below the floor.
    """
    ranks = choose_ranks(layers, model_params, recipe, spectra)
    return plan_of(layers, model_params, ranks, spectra)


def plan_of(
    layers: Sequence[TargetLayer], model_params: int, ranks: Ranks, spectra: Spectra | None
) -> Plan:
    """These ranks as a plan."""
    planned = tuple(
        plan_layer(layer, ranks[layer.name], spectra[layer.name] if spectra else None)
        for layer in layers
    )
    before, after = target_params(layers), sum(layer.params_after for layer in planned)
    return Plan(
        layers=planned,
        target_params_before=before,
        target_params_after=after,
        model_params_before=model_params,
        model_params_after=model_params - before + after,
        predicted_loss_increase=total_increase(planned),
    )


def choose_ranks(
    layers: Sequence[TargetLayer], model_params: int, recipe: Recipe, spectra: Spectra | None
) -> Ranks:
    """The rank of every layer by name; None stays dense."""
    budget, allocation = recipe.budget, recipe.allocation
    if isinstance(budget, RankRatioBudget):
        refuse_unknown_names(layers, allocation)
        return rank_ratio_ranks(layers, budget.value, allocation.keep_dense)
    if isinstance(budget, MaxDropBudget):
        refuse_unknown_names(layers, allocation)
        return all_dense(layers)
    allowance = target_allowance(budget, layers, model_params, allocation)
    return ranks_within(layers, allocation, allowance, spectra)


def ranks_within(
    layers: Sequence[TargetLayer],
    allocation: AllocationConfig,
    allowance: int,
    spectra: Spectra | None,
) -> Ranks:
    """At most `allowance` parameters, spread by the spectra if the allocation goes by them."""
    if spectra is None or not isinstance(allocation, SpectrumAllocation):
        return uniform_ranks(layers, allocation, allowance)
    return spectrum_ranks(layers, allocation, allowance, spectra)


def all_dense(layers: Sequence[TargetLayer]) -> Ranks:
    return {layer.name: None for layer in layers}


def plan_layer(layer: TargetLayer, rank: int | None, spectrum: Spectrum | None) -> LayerPlan:
    return LayerPlan(
        name=layer.name,
        out_features=layer.out_features,
        in_features=layer.in_features,
        rank=rank,
        params_before=layer.params,
        params_after=kept_params(layer, rank),
        retained_energy=None if spectrum is None else retained_energy(spectrum, rank),
        predicted_loss_increase=None if spectrum is None else predicted_increase(spectrum, rank),
        use=layer.use,
        phi=None if spectrum is None else spectrum.phi,
    )


def retained_energy(spectrum: Spectrum, rank: int | None) -> float:
    """Σ_{i≤k} σ²_i / Σ σ²_i in the method's own norm; 1 where dense or where all are zero."""
    total = float(spectrum.squared_singular_values.sum())
    if rank is None or total == 0:
        return 1.0
    return min(1.0, float(spectrum.squared_singular_values[:rank].sum()) / total)


def predicted_increase(spectrum: Spectrum, rank: int | None) -> float | None:
    """Predicted increase of the mean example loss at this rank; None where there is no unit."""
    if spectrum.predicted_increase is None:
        return None
    if rank is None:
        return 0.0
    return float(spectrum.predicted_increase[min(rank, len(spectrum.predicted_increase) - 1)])


def total_increase(layers: Sequence[LayerPlan]) -> float | None:
    increases = [
        layer.predicted_loss_increase
        for layer in layers
        if layer.predicted_loss_increase is not None
    ]
    return sum(increases) if len(increases) == len(layers) else None
