import itertools
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from core.compression.evaluation.latency import Latency, measure_latency, median_interval
from core.compression.evaluation.predictions import predict
from core.compression.models.layers import linear_layer
from core.compression.models.loading import load_model
from core.compression.tasks.batches import make_batch
from core.compression.tasks.examples import Examples
from core.errors import NumericalError
from tests.compression.tasks.reading import SINGLE, classified
from tests.compression.tiny_models import save_classifier, sentences


@pytest.fixture
def examples(tmp_path: Path) -> Examples:
    return classified(sentences(30), tmp_path)


@pytest.fixture
def model(tmp_path: Path) -> nn.Module:
    folder = save_classifier(tmp_path / "model", ("bad", "good"))
    return load_model(folder, SINGLE.auto_class, ("bad", "good")).model


def outcome(work: Generator[Any, None, Any]) -> Any:
    while True:
        try:
            next(work)
        except StopIteration as finished:
            return finished.value


class Costly(nn.Module):
    """Stands for a model that takes this long on the test's own clock."""

    def __init__(self, clock: "Clock", seconds: float):
        super().__init__()
        self.clock, self.seconds = clock, seconds

    def forward(self, **inputs: torch.Tensor) -> None:
        self.clock.now += self.seconds * next(self.clock.noise)
        self.clock.calls.append(self)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.noise = itertools.cycle((1.0, 1.0, 1.1, 1.1, 0.9, 0.9, 5.0, 5.0))
        self.calls: list[nn.Module] = []

    def __call__(self) -> float:
        return self.now


def test_both_models_see_the_same_noise_in_turns(examples: Examples) -> None:
    clock = Clock()
    dense, compressed = Costly(clock, 0.010), Costly(clock, 0.004)
    latency: Latency = outcome(
        measure_latency(dense, compressed, examples, 8, 21, "cpu", clock=clock)
    )
    timed = clock.calls[6:]
    assert timed[:4] == [dense, compressed, compressed, dense]
    assert timed.count(dense) == timed.count(compressed) == 21
    assert latency.dense_ms == pytest.approx(10.5, rel=0.1)
    assert latency.speedup == pytest.approx(2.5)
    assert latency.speedup_interval == pytest.approx((2.5, 2.5))
    assert latency.batch == 8
    assert latency.dense_peak_bytes is None


def test_a_model_against_itself_is_neither_faster_nor_slower(
    model: nn.Module, examples: Examples
) -> None:
    latency: Latency = outcome(measure_latency(model, model, examples, 64, 5, "cpu"))
    assert latency.batch == 30
    assert latency.dense_ms > 0
    assert latency.speedup_interval[0] <= latency.speedup <= latency.speedup_interval[1]


def test_the_interval_of_a_median_covers_as_often_as_it_says() -> None:
    generator = np.random.default_rng(0)
    covered = sum(
        low <= 1.0 <= high
        for low, high in (
            median_interval(np.exp(generator.normal(0, 1, 25)), 0.95) for _ in range(1000)
        )
    )
    assert 0.94 <= covered / 1000 <= 0.99


def test_few_values_give_their_range() -> None:
    assert median_interval(np.array([3.0, 1.0, 2.0]), 0.95) == (1.0, 3.0)


def test_logits_are_in_the_rows_own_order_whatever_the_batches(
    model: nn.Module, examples: Examples
) -> None:
    logits = outcome(predict(model, SINGLE, examples, 7, "cpu"))["logits"]
    with torch.no_grad():
        for row in range(len(examples)):
            alone = model(**make_batch(examples, np.array([row]), "cpu").inputs).logits[0]
            assert logits[row] == pytest.approx(alone.numpy(), abs=1e-5)


def test_an_output_that_is_not_finite_is_an_error(model: nn.Module, examples: Examples) -> None:
    with torch.no_grad():
        linear_layer(model, "classifier").bias.fill_(float("nan"))
    with pytest.raises(NumericalError):
        outcome(predict(model, SINGLE, examples, 7, "cpu"))["logits"]
