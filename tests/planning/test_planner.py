from time import perf_counter

import numpy as np
import pytest

from benchmarks.plans import minilm_layers, plan_all, power_law_spectra
from core.errors import BudgetError, RecipeError
from core.planning.plan import Plan, Spectrum
from core.planning.planner import make_plan
from tests.planning.problems import bert_base, convex_spectrum, layers_of, recipe_with

LAYERS = layers_of([(20, 20), (40, 20)])
MODEL_PARAMS = 2000
SPECTRA = {
    "layer.0": convex_spectrum(2.0 ** -np.arange(20)),
    "layer.1": convex_spectrum(1000 * 2.0 ** -np.arange(20)),
}


def ranks(plan: Plan) -> list[int | None]:
    return [layer.rank for layer in plan.layers]


def test_a_plan_counts_what_it_keeps() -> None:
    plan = make_plan(LAYERS, MODEL_PARAMS, recipe_with(), SPECTRA)
    assert [layer.name for layer in plan.layers] == ["layer.0", "layer.1"]
    expected = 40 * (plan.layers[0].rank or 0) + 60 * (plan.layers[1].rank or 0)
    assert plan.target_params_before == 1200
    assert plan.target_params_after == expected <= 360
    assert (plan.model_params_before, plan.model_params_after) == (2000, 800 + expected)
    assert plan.keep_ratio == expected / 1200


def test_a_plan_predicts_from_the_spectra() -> None:
    plan = make_plan(LAYERS, MODEL_PARAMS, recipe_with(), SPECTRA)
    for layer in plan.layers:
        values = SPECTRA[layer.name].squared_singular_values
        assert layer.rank is not None
        assert layer.retained_energy == pytest.approx(values[: layer.rank].sum() / values.sum())
        assert layer.predicted_loss_increase == pytest.approx(values[layer.rank :].sum())
    total = sum(layer.predicted_loss_increase or 0 for layer in plan.layers)
    assert plan.predicted_loss_increase == pytest.approx(total)
    assert total > 0


def test_a_dense_plan_loses_nothing() -> None:
    everything = recipe_with(budget={"type": "params", "value": 10**9})
    plan = make_plan(LAYERS, MODEL_PARAMS, everything, SPECTRA)
    assert ranks(plan) == [None, None]
    assert plan.keep_ratio == 1
    assert plan.predicted_loss_increase == 0
    assert all(layer.retained_energy == 1 for layer in plan.layers)


def test_without_spectra_ranks_are_uniform_and_nothing_is_predicted() -> None:
    uniform = recipe_with(allocation={"type": "uniform"})
    blind = make_plan(LAYERS, MODEL_PARAMS, recipe_with(), None)
    assert ranks(blind) == ranks(make_plan(LAYERS, MODEL_PARAMS, uniform, SPECTRA))
    assert blind.predicted_loss_increase is None
    assert {layer.retained_energy for layer in blind.layers} == {None}


def test_without_spectra_the_allocations_limits_hold() -> None:
    limits = {"type": "spectrum", "keep_dense": ["layer.0"], "rank_multiple": 2}
    recipe = recipe_with(allocation=limits, budget={"type": "params", "value": 700})
    assert ranks(make_plan(LAYERS, MODEL_PARAMS, recipe, None)) == [None, 4]


def test_uniform_ranks_still_tell_their_predicted_loss() -> None:
    recipe = recipe_with(allocation={"type": "uniform"})
    uniform = make_plan(LAYERS, MODEL_PARAMS, recipe, SPECTRA).predicted_loss_increase
    spread = make_plan(LAYERS, MODEL_PARAMS, recipe_with(), SPECTRA).predicted_loss_increase
    assert uniform is not None
    assert spread is not None
    assert spread < uniform


def test_without_a_loss_unit_energy_is_told_and_loss_is_not() -> None:
    spectra = {name: Spectrum(s.squared_singular_values, None) for name, s in SPECTRA.items()}
    recipe = recipe_with(method={"type": "svd"})
    plan = make_plan(LAYERS, MODEL_PARAMS, recipe, spectra)
    assert plan.predicted_loss_increase is None
    assert all(0 < (layer.retained_energy or 0) < 1 for layer in plan.layers)


def test_rank_ratio_plans_bert_base_as_the_papers_do() -> None:
    recipe = recipe_with(budget={"type": "rank_ratio", "value": 0.33})
    plan = make_plan(bert_base(), 109_483_778, recipe, None)
    assert set(ranks(plan)) == {253}
    assert round(plan.model_params_after / 1e6, 1) == 66.5


def test_a_model_budget_counts_what_cannot_shrink() -> None:
    recipe = recipe_with(budget={"type": "keep_ratio", "value": 0.6, "scope": "model"})
    plan = make_plan(LAYERS, MODEL_PARAMS, recipe, SPECTRA)
    assert 1100 < plan.model_params_after <= 1200


def test_refusals_point_into_the_recipe() -> None:
    with pytest.raises(BudgetError) as below:
        make_plan(LAYERS, MODEL_PARAMS, recipe_with(budget={"type": "params", "value": 99}), None)
    assert below.value.pointer == "/budget/value"
    dense = recipe_with(allocation={"type": "spectrum", "keep_dense": ["head"]})
    with pytest.raises(RecipeError) as unknown:
        make_plan(LAYERS, MODEL_PARAMS, dense, SPECTRA)
    assert unknown.value.pointer == "/allocation/keep_dense"


def test_a_zero_weight_keeps_all_of_its_energy() -> None:
    spectra = {**SPECTRA, "layer.0": convex_spectrum(np.zeros(20))}
    plan = make_plan(LAYERS, MODEL_PARAMS, recipe_with(), spectra)
    assert (plan.layers[0].rank, plan.layers[0].retained_energy) == (1, 1.0)


def test_ten_plans_take_under_a_second() -> None:
    layers = minilm_layers()
    spectra = power_law_spectra(layers, np.random.default_rng(17))
    start = perf_counter()
    plans = plan_all(layers, spectra)
    assert perf_counter() - start < 1
    losses = [plan.predicted_loss_increase or 0 for plan in plans]
    assert losses == sorted(losses, reverse=True)
    assert [layer.out_features * layer.in_features for layer in layers] == [
        layer.params_before for layer in plans[0].layers
    ]
