"""Ratios by type under one budget: the best of what was measured, the same after a kill."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.compression.allocation.measured_plan import measured_plan
from core.compression.allocation.search import Search
from core.compression.progress import Progress
from core.planning.allocation.by_type import ranks_by_type, type_of
from core.planning.budgets import share, target_params
from core.planning.plan import Plan
from tests.compression.allocation.searches import (
    counted_candidates,
    finished,
    killed_after,
    metric_values,
    of_ranks,
    reported,
    tiny_search,
)

TRIALS = 14
ROWS = 12


def searching(folder: Path, **fields: Any) -> Search:
    allocation = {"type": "bayesian", "trials": TRIALS, "rows": ROWS, **fields}
    return tiny_search(folder, allocation=allocation)


def plan_of(search: Search) -> Plan:
    return finished(measured_plan(search, {}))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return plan_of(searching(tmp_path_factory.mktemp("undisturbed")))


def test_every_trial_keeps_to_the_budget_and_uses_it_up(undisturbed: Plan) -> None:
    assert len(undisturbed.candidates) == TRIALS
    for candidate in undisturbed.candidates:
        assert 0.29 < candidate.keep_ratio <= 0.3


def test_the_first_trial_has_equal_ratios(tmp_path: Path, undisturbed: Plan) -> None:
    search = searching(tmp_path)
    allowance = share(0.3, target_params(search.layers))
    equal = {type_of(layer.name): 1.0 for layer in search.layers}
    ranks = ranks_by_type(search.layers, search.recipe.allocation, allowance, equal)
    found = metric_values(search, of_ranks(search.model, ranks), ROWS)["loss"]
    increase = found - metric_values(search, search.model, ROWS)["loss"]
    first = undisturbed.candidates[0]
    assert first.measured_loss_increase == pytest.approx(increase, abs=1e-9)
    ratios = first.keep_ratios
    assert len(ratios) == 6
    assert max(ratios.values()) - min(ratios.values()) < 0.08


def test_the_plan_is_the_best_trial_and_no_worse_than_equal_ratios(
    tmp_path: Path, undisturbed: Plan
) -> None:
    search = searching(tmp_path)
    ranks = {layer.name: layer.rank for layer in undisturbed.layers}
    found = metric_values(search, of_ranks(search.model, ranks), ROWS)["loss"]
    increase = found - metric_values(search, search.model, ROWS)["loss"]
    increases = [candidate.measured_loss_increase for candidate in undisturbed.candidates]
    assert increase == pytest.approx(min(increases), abs=1e-9)
    assert min(increases) < increases[0]


def test_trials_differ_by_type_and_blocks_of_a_type_do_not(undisturbed: Plan) -> None:
    plans = {tuple(each.keep_ratios.values()) for each in undisturbed.candidates}
    assert len(plans) > TRIALS // 2
    ranks: dict[str, list[int]] = {}
    for layer in undisturbed.layers:
        assert layer.rank is not None
        ranks.setdefault(type_of(layer.name), []).append(layer.rank)
    assert len({tuple(own) for own in ranks.values()}) > 1
    assert all(max(own) - min(own) <= 1 for own in ranks.values())


@pytest.mark.parametrize("stop", [1, 6, TRIALS - 1])
def test_killed_after_any_trial_it_ends_as_if_undisturbed(
    tmp_path: Path, undisturbed: Plan, stop: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_after(stop, measured_plan(searching(tmp_path), {}))
    measured = counted_candidates(monkeypatch)
    assert plan_of(searching(tmp_path)) == undisturbed
    assert 0 < len(measured) <= TRIALS - stop


def test_another_seed_searches_elsewhere(tmp_path: Path, undisturbed: Plan) -> None:
    other = plan_of(replace(searching(tmp_path, trials=4), seed=6))
    assert other.candidates[0] == undisturbed.candidates[0]
    assert other.candidates[1:] != undisturbed.candidates[1:4]


def test_types_that_stay_dense_are_not_searched(tmp_path: Path) -> None:
    plain = tiny_search(tmp_path)
    held = [layer.name for layer in plain.layers if layer.name.endswith("query")]
    folder = tmp_path / "held"
    folder.mkdir()
    search = tiny_search(
        folder,
        budget={"type": "keep_ratio", "value": 0.5},
        allocation={"type": "bayesian", "trials": 3, "rows": ROWS, "keep_dense": held},
    )
    plan = plan_of(search)
    assert all(layer.rank is None for layer in plan.layers if layer.name in held)
    assert all(each.keep_ratio <= 0.5 for each in plan.candidates)


def test_progress_moves_by_trials_and_plots_them(tmp_path: Path) -> None:
    reports, plan = reported(measured_plan(searching(tmp_path, trials=3), {}))
    progress = [report for report in reports if isinstance(report, Progress)]
    assert (progress[-1].done, progress[-1].total, progress[-1].unit) == (3, 3, "trial")
    plotted = [report.values for report in progress if report.values]
    assert [each["loss_increase"] for each in plotted] == [
        candidate.measured_loss_increase for candidate in plan.candidates
    ]
