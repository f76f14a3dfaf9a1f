from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.compression.tasks.batches import make_batch
from core.compression.tasks.registry import task_kind
from core.errors import DataError
from core.recipe.task import TextRegression
from tests.compression.tasks.reading import DATASET, read
from tests.compression.tasks.tiny_tasks import tiny_task
from tests.compression.tiny_models import rated

CONFIG = TextRegression(dataset=DATASET)


@pytest.mark.parametrize("label", ["1.5", 1, -2.25, "3e-1"])
def test_numbers_may_be_written_as_text(label: Any) -> None:
    data = read(CONFIG, [*rated(3), {"text": "a", "label": label}])
    assert data.columns["label"][-1] == float(label)


@pytest.mark.parametrize("label", ["much", "nan", float("inf"), True, [1.0], None, ""])
def test_what_is_no_number_is_refused_with_its_row(label: Any) -> None:
    with pytest.raises(DataError, match="Row 4") as refused:
        read(CONFIG, [*rated(3), {"text": "a", "label": label}])
    assert refused.value.pointer == "/task/label"


def test_one_number_for_all_rows_is_refused() -> None:
    with pytest.raises(DataError, match="nothing to learn") as refused:
        read(CONFIG, [{"text": "a", "label": 2}] * 9)
    assert refused.value.pointer == "/task/label"


def test_the_true_fisher_is_the_curvature_of_squared_error(tmp_path: Path) -> None:
    """E over y ~ N(f, ½) of the squared gradient of (f − y)², by many draws of y."""
    tiny = tiny_task("regression", tmp_path)
    batch = make_batch(tiny.examples, np.arange(3), "cpu")
    numbers = torch.tensor([[0.3], [-1.0], [2.0]], dtype=torch.float64, requires_grad=True)
    answers = type("Answers", (), {"logits": numbers})()
    losses = tiny.kind.sampled_losses(answers, batch, torch.Generator())
    (g,) = torch.autograd.grad(losses.sum(), numbers)
    drawn = np.random.default_rng(0).normal(0, 0.5**0.5, 200_000)
    assert g.square().flatten().numpy() == pytest.approx(np.mean((2 * drawn) ** 2), rel=0.02)


def test_a_constant_answer_is_worth_nothing(tmp_path: Path) -> None:
    tiny = tiny_task("regression", tmp_path)
    constant = {"numbers": np.full(len(tiny.examples), 0.7)}
    pearson, spearman, mse = tiny.kind.metrics(constant, tiny.examples, None)
    assert pearson.value == spearman.value == tiny.kind.baseline(tiny.examples) == 0
    assert mse.value > 0
    assert task_kind(CONFIG).headline == "pearson"
