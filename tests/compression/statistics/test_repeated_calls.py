"""Layers that are called several times, or once for all examples, against autograd.

The oracle runs one unpadded example at a time in float64 and takes W's gradient from autograd.
"""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from core.compression.layer_statistics import LayerStatistics
from core.compression.models.layers import layer_at, linear_layer, transposed_layers
from core.compression.statistics.fisher_loss import classification_loss
from core.compression.statistics.statistics_pass import StatisticsPass
from core.compression.statistics.tokens import Batch
from core.errors import ModelError
from core.recipe.statistics import Statistic, two_sided
from tests.compression.family_models import family_model
from tests.compression.statistics.oracle import EVERYTHING, make_examples, padded

LOSS = classification_loss("empirical")
NAMES = {
    "albert": "albert_layer_groups",
    "deberta-v2": "encoder.layer",
    "gpt2": ".h.",
}


def a_model(family: str) -> Any:
    changes = {"num_labels": 3, "pad_token_id": 0}
    return family_model(family, "AutoModelForSequenceClassification", 40, **changes).double()


def target_names(family: str, model: nn.Module) -> list[str]:
    linear = (nn.Linear, Conv1D)
    return [n for n, m in model.named_modules() if NAMES[family] in n and isinstance(m, linear)]


def make_batch(family: str, examples: list[Batch], length: int) -> Batch:
    """Padding is told apart from tokens by its id, too: a decoder pools the last other one."""
    batch = padded(examples, length)
    batch["input_ids"] = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, 0)
    del batch["position_ids"]
    return batch


def statistics_of(
    family: str, model: nn.Module, batches: list[Batch], asked: frozenset[Statistic] = EVERYTHING
) -> dict[str, LayerStatistics]:
    names = target_names(family, model)
    with StatisticsPass(model, dict.fromkeys(names, asked)) as statistics_pass:
        for batch in batches:
            statistics_pass.update(batch, LOSS)
        return statistics_pass.statistics()


def one_at_a_time(
    model: nn.Module, names: list[str], examples: list[Batch]
) -> dict[str, dict[Any, Any]]:
    sums: dict[str, dict[Any, Any]] = {name: {} for name in names}
    for example in examples:
        for name, (x, y, delta, gradient) in of_one(model, names, example).items():
            back = delta @ linear_layer(model, name).weight.detach()
            for statistic, value in {
                Statistic.INPUT_GRAM: x.T @ x,
                Statistic.OUTPUT_GRAM: y.T @ y,
                Statistic.OUTPUT_GRAD_GRAM: delta.T @ delta,
                Statistic.INPUT_GRAD_GRAM: back.T @ back,
                Statistic.FISHER_IN: gradient.square().sum(0),
                Statistic.FISHER_OUT: gradient.square().sum(1),
                "tokens": len(x),
            }.items():
                sums[name][statistic] = sums[name].get(statistic, 0) + value
    return sums


def of_one(model: nn.Module, names: list[str], example: Batch) -> dict[str, tuple[Tensor, ...]]:
    """x, y − b and δ of every token of every call, rows of positions only where δ is not zero."""
    calls: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in names}
    handles = []
    for name in names:

        def keep(module: nn.Module, args: Any, y: Tensor, name: str = name) -> None:
            y.retain_grad()
            calls[name].append((args[0].detach(), y))

        handles.append(layer_at(model, name).register_forward_hook(keep))
    model.zero_grad()
    LOSS(model, example).sum().backward()
    for handle in handles:
        handle.remove()
    length = example["input_ids"].shape[1]
    return {name: of_layer(model, name, calls[name], length) for name in names}


def of_layer(
    model: nn.Module, name: str, calls: list[tuple[Tensor, Tensor]], length: int
) -> tuple[Tensor, ...]:
    rows: list[tuple[Tensor, Tensor, Tensor]] = []
    for x, y in calls:
        assert y.grad is not None
        own = torch.ones(x.shape[1], dtype=torch.bool)
        if x.shape[1] != length:
            own = (y.grad[0] != 0).any(-1)
        bias = linear_layer(model, name).bias.detach()
        rows.append((x[0][own], y.detach()[0][own] - bias, y.grad[0][own]))
    gradient = layer_at(model, name).weight.grad
    assert isinstance(gradient, Tensor)
    turned = gradient.T if name in transposed_layers(model) else gradient
    x, y, delta = (torch.cat(values) for values in zip(*rows, strict=True))
    return x, y, delta, turned.clone()


@pytest.mark.parametrize("family", NAMES)
def test_every_sum_is_autograds(family: str) -> None:
    model, examples = a_model(family), make_examples()
    names = target_names(family, model)
    expected = one_at_a_time(model, names, examples)
    batches = [make_batch(family, part, 9) for part in (examples[:4], examples[4:])]
    found = statistics_of(family, model, batches)
    for name in names:
        assert found[name].tokens == expected[name].pop("tokens")
        for statistic, total in expected[name].items():
            torch.testing.assert_close(found[name][statistic], total, rtol=1e-8, atol=1e-12)
            assert total.abs().max() > 1e-8


@pytest.mark.parametrize("family", NAMES)
@pytest.mark.parametrize("asked", [two_sided(1, 2), two_sided(2, 1)] + [{s} for s in EVERYTHING])
def test_each_is_the_same_asked_alone(family: str, asked: frozenset[Statistic]) -> None:
    model = a_model(family)
    batches = [make_batch(family, make_examples(), 9)]
    everything = statistics_of(family, model, batches)
    for name, layer in statistics_of(family, model, batches, frozenset(asked)).items():
        assert layer.tokens == everything[name].tokens
        for statistic, total in layer.sums.items():
            torch.testing.assert_close(total, everything[name][statistic])


def test_albert_counts_every_call() -> None:
    model, examples = a_model("albert"), make_examples()
    found = statistics_of("albert", model, [make_batch("albert", examples, 9)])
    tokens = sum(example["input_ids"].numel() for example in examples)
    calls = model.config.num_hidden_layers // model.config.num_hidden_groups
    assert {layer.tokens for layer in found.values()} == {calls * tokens}


def test_what_cannot_be_told_apart_is_refused_by_name() -> None:
    class Broadcasting(nn.Module):
        """Without a copy for every example."""

        def __init__(self) -> None:
            super().__init__()
            self.positions, self.linear = nn.Parameter(torch.randn(1, 5, 3)), nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Any:
            return (self.linear(x) @ self.linear(self.positions).mT).sum((1, 2))

    batch = {"x": torch.randn(4, 2, 3), "attention_mask": torch.ones(4, 2)}
    with (
        StatisticsPass(Broadcasting(), {"linear": EVERYTHING}) as statistics_pass,
        pytest.raises(ModelError, match="linear is called on an input that all examples share"),
    ):
        statistics_pass.update(batch, lambda model, batch: model(batch["x"]))
