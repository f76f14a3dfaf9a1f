"""Candidates are measured as a copy with the truncated weights measures, and leave no trace."""

from pathlib import Path

import pytest
import torch

from core.compression.allocation.search import Search
from core.compression.models.layers import replaced_layers
from tests.compression.allocation.searches import (
    finished,
    metric_values,
    of_ranks,
    tiny_search,
)
from tests.compression.tasks.tiny_tasks import tiny_task


@pytest.fixture
def search(tmp_path: Path) -> Search:
    return tiny_search(tmp_path)


def some_ranks(search: Search) -> dict[str, int | None]:
    return {layer.name: None if n % 3 == 0 else n % 5 + 1 for n, layer in enumerate(search.layers)}


@pytest.mark.parametrize("rows", [None, 7])
def test_a_candidate_measures_what_a_copy_with_its_weights_does(
    search: Search, rows: int | None
) -> None:
    ranks = some_ranks(search)
    found = finished(search.measured(search.scorer(rows), ranks))
    expected = metric_values(search, of_ranks(search.model, ranks), rows)
    assert {n: m.value for n, m in found.metrics.items()} == pytest.approx(expected, abs=1e-9)
    assert found.loss == pytest.approx(expected["loss"], abs=1e-9)
    assert expected["kl"] > 0.01


def test_the_model_is_left_as_it_was(search: Search) -> None:
    before = {name: id(module) for name, module in search.model.named_modules()}
    weights = {name: p.clone() for name, p in search.model.named_parameters()}
    scorer = search.scorer(None)
    finished(search.measured(scorer, some_ranks(search)))
    assert {name: id(module) for name, module in search.model.named_modules()} == before
    for name, parameter in search.model.named_parameters():
        assert torch.equal(parameter, weights[name])


def test_it_is_left_as_it_was_by_a_failure_too(search: Search) -> None:
    name = search.layers[0].name
    own = search.model.get_submodule(name)
    with (
        pytest.raises(ZeroDivisionError),
        replaced_layers(search.model, {name: torch.nn.Identity()}),
    ):
        raise ZeroDivisionError
    assert search.model.get_submodule(name) is own


def test_all_dense_is_the_dense_model(search: Search) -> None:
    scorer = search.scorer(None)
    dense = finished(scorer.dense())
    found = finished(search.measured(scorer, {layer.name: None for layer in search.layers}))
    assert found.loss == dense.loss
    assert found.metrics["kl"].value == pytest.approx(0, abs=1e-12)


def test_the_loss_of_a_token_task_is_an_examples(tmp_path: Path) -> None:
    tiny = tiny_task("causal-lm", tmp_path, 10)
    search = tiny_search(tmp_path, tiny)
    found = finished(search.scorer(None).dense())
    tokens = sum(length - 1 for length in tiny.examples.lengths)
    whole = found.metrics["loss"].value * tokens
    assert found.loss == pytest.approx(whole / len(tiny.examples), rel=1e-12)
