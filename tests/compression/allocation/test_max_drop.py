"""The smallest plan within a drop: held against measuring every ratio of the grid."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.compression.allocation.max_drop import smallest_plan, worsening
from core.compression.allocation.measured_plan import measured_plan, spread
from core.compression.allocation.search import Search
from core.compression.evaluation.metrics import Bootstrap
from core.compression.metrics.metric import mean
from core.compression.progress import Checkpointed, Notice, Progress
from core.errors import RecipeError
from core.planning.budgets import floor_params, share, target_params
from core.planning.plan import Plan
from core.recipe.budget import MaxDropBudget
from tests.compression.allocation.searches import (
    counted_candidates,
    finished,
    killed_after,
    metric_values,
    of_ranks,
    reported,
    tiny_search,
)

HALVINGS = 4


def drop_of(most: float, **fields: Any) -> dict[str, Any]:
    return {"type": "max_drop", "metric": "kl", "abs": most, "tolerance": 0.06, **fields}


def searching(folder: Path, most: float = 0.2, **fields: Any) -> Search:
    return tiny_search(folder, budget=drop_of(most, **fields), allocation={"type": "uniform"})


def plan_of(search: Search) -> Plan:
    return finished(measured_plan(search, {}))


def grid_drops(search: Search) -> dict[float, tuple[dict[str, int | None], float]]:
    """Every ratio of the finest grid: its ranks, and by how much it is worse, from copies."""
    total = target_params(search.layers)
    floor = floor_params(search.layers, search.recipe.allocation) / total
    cells = 2**HALVINGS
    found = {}
    for cell in range(1, cells):
        ratio = floor + (1 - floor) * cell / cells
        ranks = dict(spread(search, {}, share(ratio, total)))
        kl = metric_values(search, of_ranks(search.model, ranks))["kl"]
        found[ratio] = ranks, kl
    return found


def ranks_in(plan: Plan) -> dict[str, int | None]:
    return {layer.name: layer.rank for layer in plan.layers}


def parting_thresholds(drops: list[float]) -> list[float]:
    """Thresholds that all larger ratios meet and all smaller ones miss."""
    parts = ((min(drops[:n]), max(drops[n:])) for n in range(1, len(drops)))
    return [(above + below) / 2 for above, below in parts if below < above]


def test_no_ratio_of_the_grid_that_meets_is_smaller(tmp_path: Path) -> None:
    every = grid_drops(searching(tmp_path))
    thresholds = parting_thresholds([drop for _, drop in every.values()])
    assert len(thresholds) >= 4
    for number, most in enumerate(thresholds[::2]):
        folder = tmp_path / str(number)
        folder.mkdir()
        plan = plan_of(searching(folder, most))
        smallest = next(ranks for ranks, drop in every.values() if drop <= most)
        assert ranks_in(plan) == smallest
        assert len(plan.candidates) == HALVINGS


def test_candidates_say_what_they_measured(tmp_path: Path) -> None:
    search = searching(tmp_path)
    plan = plan_of(search)
    for candidate in plan.candidates:
        assert candidate.metric == "kl"
        assert candidate.drop == candidate.value
        assert candidate.drop is not None
        assert candidate.drop_interval is not None
        assert candidate.drop_interval[0] <= candidate.drop <= candidate.drop_interval[1]
        assert candidate.meets == (candidate.drop <= 0.2)
    met = [candidate.keep_ratio for candidate in plan.candidates if candidate.meets]
    assert plan.keep_ratio == min(met)
    measured = metric_values(search, of_ranks(search.model, ranks_in(plan)))
    chosen = next(each for each in plan.candidates if each.keep_ratio == plan.keep_ratio)
    assert measured["kl"] == pytest.approx(chosen.value, abs=1e-9)
    dense = metric_values(search, search.model)["loss"]
    assert measured["loss"] - dense == pytest.approx(chosen.measured_loss_increase, abs=1e-9)


def test_where_nothing_meets_all_stays_dense_and_it_is_said(tmp_path: Path) -> None:
    search = searching(tmp_path, 0.0)
    reports, plan = reported(measured_plan(search, {}))
    assert plan.keep_ratio == 1
    assert all(rank is None for rank in ranks_in(plan).values())
    (notice,) = (report for report in reports if isinstance(report, Notice))
    assert notice.level == "warning"
    assert "everything stays dense" in notice.message
    assert not any(candidate.meets for candidate in plan.candidates)


def test_where_all_meet_it_ends_next_to_the_floor(tmp_path: Path) -> None:
    search = searching(tmp_path, 1e6)
    plan = plan_of(search)
    floor = floor_params(search.layers, search.recipe.allocation) / target_params(search.layers)
    assert floor <= plan.keep_ratio <= floor + 0.06
    assert all(candidate.meets for candidate in plan.candidates)


def test_evaluations_bound_the_search(tmp_path: Path) -> None:
    assert len(plan_of(searching(tmp_path, evaluations=2)).candidates) == 2


def test_limits_of_the_allocation_hold(tmp_path: Path) -> None:
    plain = tiny_search(tmp_path)
    held = plain.layers[0].name
    folder = tmp_path / "limited"
    folder.mkdir()
    limits = {"type": "uniform", "min_rank": 3, "rank_multiple": 2, "keep_dense": [held]}
    plan = plan_of(tiny_search(folder, budget=drop_of(0.3), allocation=limits))
    ranks = ranks_in(plan)
    assert ranks[held] is None
    assert {rank for rank in ranks.values() if rank is not None}
    assert all(rank >= 4 and rank % 2 == 0 for rank in ranks.values() if rank is not None)


def test_an_unknown_layer_is_refused_by_field(tmp_path: Path) -> None:
    search = tiny_search(
        tmp_path, budget=drop_of(0.3), allocation={"type": "uniform", "keep_dense": ["nowhere"]}
    )
    with pytest.raises(RecipeError) as refused:
        plan_of(search)
    assert refused.value.pointer == "/allocation/keep_dense"


def test_a_metric_that_this_data_has_not_is_refused_by_field(tmp_path: Path) -> None:
    search = searching(tmp_path)
    budget = MaxDropBudget(metric="matthews_of_three", abs=0.1)
    with pytest.raises(RecipeError) as refused:
        finished(smallest_plan(search, budget, partial(spread, search, {})))
    assert refused.value.pointer == "/budget/metric"
    assert "kl" in str(refused.value.hint)


@pytest.mark.parametrize("stop", range(1, HALVINGS))
def test_killed_at_any_candidate_it_goes_on_and_measures_none_twice(
    tmp_path: Path, stop: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = plan_of(searching(tmp_path))
    assert len({each.keep_ratio for each in undisturbed.candidates}) == HALVINGS
    folder = tmp_path / "killed"
    folder.mkdir()
    killed_after(stop, measured_plan(searching(folder), {}))
    measured = counted_candidates(monkeypatch)
    assert plan_of(searching(folder)) == undisturbed
    assert len(measured) == HALVINGS - stop


def test_progress_moves_by_candidates_to_its_end(tmp_path: Path) -> None:
    reports, _ = reported(measured_plan(searching(tmp_path), {}))
    progress = [report for report in reports if isinstance(report, Progress)]
    assert {report.unit for report in progress} == {"candidate"}
    assert {report.total for report in progress} == {HALVINGS}
    assert [report.done for report in progress] == sorted(report.done for report in progress)
    assert progress[-1].done == HALVINGS
    assert sum(isinstance(report, Checkpointed) for report in reports) == HALVINGS


@pytest.mark.parametrize(("name", "sign"), [("accuracy", 1), ("loss", -1), ("perplexity", -1)])
def test_worse_is_positive_whichever_way_the_metric_points(name: str, sign: int) -> None:
    bootstrap = Bootstrap(50, 400, 0.95, 1)
    rows = np.random.default_rng(2).random(50)
    dense, worse = mean(name, rows), mean(name, rows - sign * 0.1)
    drop, (low, high) = worsening(bootstrap, worse, dense)
    assert drop == pytest.approx(0.1)
    assert (low, high) == (pytest.approx(0.1, abs=1e-5), pytest.approx(0.1, abs=1e-5))
    gained, _ = worsening(bootstrap, dense, worse)
    assert gained == pytest.approx(-0.1)


def test_a_drop_of_the_bound_itself_meets(tmp_path: Path) -> None:
    probe = plan_of(searching(tmp_path))
    bound = probe.candidates[0].drop
    assert bound is not None
    folder = tmp_path / "again"
    folder.mkdir()
    assert plan_of(searching(folder, bound)).candidates[0].meets
