"""Every group's loss is that of a copy of the model with the layer's weight put together anew."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.compression.allocation.journal import Journal
from core.compression.allocation.measured_plan import measured_plan
from core.compression.allocation.search import Search
from core.compression.allocation.sensitivity import measured_increases
from core.compression.models.layers import linear_layer
from core.compression.progress import Checkpointed, Progress
from core.planning.allocation.sensitivity import Increases, boundaries
from core.planning.budgets import target_params
from core.recipe.budget import SensitivityAllocation
from tests.compression.allocation.searches import (
    finished,
    killed_after,
    metric_values,
    reported,
    tiny_search,
    truncated_weight,
    with_weights,
)


def searching(folder: Path, **fields: Any) -> Search:
    allocation = {"type": "sensitivity", "groups": 5, "rows": 12, **fields}
    return tiny_search(folder, allocation=allocation)


def increases_of(search: Search) -> Increases:
    allocation = search.recipe.allocation
    assert isinstance(allocation, SensitivityAllocation)
    return finished(measured_increases(search, allocation))


def loss_with(search: Search, name: str, weight: torch.Tensor) -> float:
    return metric_values(search, with_weights(search.model, {name: weight}), 12)["loss"]


def kept_ones(measure: str, rank: int, lower: int, upper: int) -> list[int]:
    """Which rank-ones are left when the group lower … upper is removed."""
    if measure == "cumulative":
        return list(range(lower))
    return [*range(lower), *range(upper, rank)]


@pytest.mark.parametrize("measure", ["cumulative", "single"])
def test_each_group_costs_what_a_copy_without_it_loses(tmp_path: Path, measure: str) -> None:
    search = searching(tmp_path, measure=measure)
    found = increases_of(search)
    dense = metric_values(search, search.model, 12)["loss"]
    assert set(found) == {layer.name for layer in search.layers}
    for layer in (search.layers[0], search.layers[5], search.layers[-1]):
        weight = linear_layer(search.model, layer.name).weight
        bounds = boundaries(layer, 5)
        for g, increase in enumerate(found[layer.name]):
            kept = kept_ones(measure, layer.full_rank, bounds[g], bounds[g + 1])
            expected = loss_with(search, layer.name, truncated_weight(weight, kept)) - dense
            assert increase == pytest.approx(expected, abs=1e-9)
    largest = max(abs(increase) for losses in found.values() for increase in losses)
    assert largest > 1e-3


def test_layers_held_dense_are_not_measured(tmp_path: Path) -> None:
    held = tiny_search(tmp_path).layers[0].name
    assert held not in increases_of(searching(tmp_path, keep_dense=[held]))


def test_killed_after_any_layer_it_goes_on_to_the_same_numbers(tmp_path: Path) -> None:
    undisturbed = increases_of(searching(tmp_path))
    folder = tmp_path / "killed"
    folder.mkdir()
    allocation = searching(folder).recipe.allocation
    assert isinstance(allocation, SensitivityAllocation)
    killed_after(3, measured_increases(searching(folder), allocation))
    reports, found = reported(measured_increases(searching(folder), allocation))
    assert found == undisturbed
    written = sum(isinstance(report, Checkpointed) for report in reports)
    assert written == len(undisturbed) - 3
    progress = [report for report in reports if isinstance(report, Progress)]
    assert (progress[-1].done, progress[-1].total) == (len(undisturbed), len(undisturbed))


def test_ranks_are_spread_by_what_was_measured_within_the_budget(tmp_path: Path) -> None:
    search = searching(tmp_path)
    found = increases_of(search)
    plan = finished(measured_plan(search, found))
    assert plan.target_params_after <= 0.3 * target_params(search.layers)
    ranks = {layer.name: layer.rank for layer in plan.layers}
    deaf = {name: [0.0] * len(losses) for name, losses in found.items()}
    elsewhere = finished(measured_plan(search, deaf))
    assert ranks != {layer.name: layer.rank for layer in elsewhere.layers}
    totals = {name: float(np.sum(losses)) for name, losses in found.items()}
    most, least = max(totals, key=totals.__getitem__), min(totals, key=totals.__getitem__)
    assert (ranks[most] or 99) > (ranks[least] or 99)


def test_a_journal_is_whole_on_disk_after_every_entry(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "deep" / "journal.json")
    journal.record("a", [0.1 + 0.2, 1e-300])
    assert json.loads((tmp_path / "deep" / "journal.json").read_text()) == {
        "a": [0.1 + 0.2, 1e-300]
    }
    again = Journal(tmp_path / "deep" / "journal.json")
    assert (len(again), "a" in again, again["a"]) == (1, True, [0.1 + 0.2, 1e-300])
