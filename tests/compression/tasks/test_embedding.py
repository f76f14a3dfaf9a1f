from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor

from core.compression.tasks.batches import Batch, make_batch, reading_batches
from core.compression.tasks.embedding import TEMPERATURE
from core.compression.tasks.registry import task_kind
from core.errors import RecipeError
from core.recipe.task import Embedding
from tests.compression.tasks.reading import DATASET, tokenized
from tests.compression.tasks.tiny_tasks import TinyTask, tiny_task
from tests.compression.tiny_models import sentences, tiny_tokenizer


@pytest.fixture
def tiny(tmp_path: Path) -> TinyTask:
    return tiny_task("embedding", tmp_path, rows=7)


def test_pooling_is_over_real_tokens_or_takes_the_first(tiny: TinyTask, tmp_path: Path) -> None:
    batch = make_batch(tiny.examples, np.arange(7), "cpu")
    hidden = tiny.model(**batch.inputs).last_hidden_state
    mean = tiny.kind.outputs(tiny.model, batch)["embeddings"]
    for row, length in enumerate(tiny.examples.lengths):
        pooled = hidden[row, :length].mean(0)
        torch.testing.assert_close(mean[row], pooled / pooled.norm())
    first = task_kind(Embedding(dataset=DATASET, pooling="cls")).outputs(tiny.model, batch)
    torch.testing.assert_close(first["embeddings"][2], hidden[2, 0] / hidden[2, 0].norm())


def test_the_metric_is_a_rows_rank_correlation_with_the_dense_models(tiny: TinyTask) -> None:
    dense, ours = np.random.default_rng(1).normal(size=(2, 7, 5))
    rank, error = tiny.kind.metrics({"embeddings": ours}, tiny.examples, {"embeddings": dense})
    expected = []
    for row in range(7):
        others = [n for n in range(7) if n != row]
        expected.append(spearmanr((ours @ ours.T)[row, others], (dense @ dense.T)[row, others])[0])
    assert rank.value == pytest.approx(np.mean(expected))
    assert error.value > 0


def test_the_dense_model_agrees_with_itself_by_definition(tiny: TinyTask) -> None:
    own = {"embeddings": np.random.default_rng(1).normal(size=(7, 5))}
    rank, error = tiny.kind.metrics(own, tiny.examples, None)
    assert (rank.value, error.value) == (1, 0)


def test_the_sampled_neighbour_gives_the_fisher_of_each_texts_own_distribution(
    tiny: TinyTask,
) -> None:
    """E over p_i of the squared gradient of −log p_i(j) at e_i, the other texts held fixed."""
    torch.manual_seed(0)
    hidden = 1 + 0.2 * torch.randn(4, 1, 6, dtype=torch.float64)
    hidden.requires_grad_()
    batch = Batch({"attention_mask": torch.ones(4, 1)}, torch.zeros(4, 0), np.arange(4))
    answers = SimpleNamespace(last_hidden_state=hidden)
    generator, draws = torch.Generator().manual_seed(2), 4000
    total = torch.zeros_like(hidden)
    for _ in range(draws):
        losses = tiny.kind.sampled_losses(answers, batch, generator)
        (g,) = torch.autograd.grad(losses.sum(), hidden)
        total += g.square()
    expected = torch.stack([own_fisher(hidden.detach()[:, 0], row) for row in range(4)])
    scale = expected.max()
    torch.testing.assert_close(total[:, 0] / draws / scale, expected / scale, atol=0.03, rtol=0)
    assert expected.min() > 0


def own_fisher(hidden: Tensor, row: int) -> Tensor:
    unit = hidden / hidden.norm(dim=1, keepdim=True)
    own = hidden[row].clone().requires_grad_()
    others = [n for n in range(len(hidden)) if n != row]
    log_p = ((own / own.norm()) @ unit[others].T / TEMPERATURE).log_softmax(0)
    fisher = torch.zeros_like(own)
    for place in range(len(others)):
        (g,) = torch.autograd.grad(-log_p[place], own, retain_graph=True)
        fisher += log_p[place].exp().detach() * g.square()
    return fisher


def test_a_text_alone_has_no_neighbours_and_is_refused(tiny: TinyTask) -> None:
    batch = make_batch(tiny.examples, np.array([0]), "cpu")
    with pytest.raises(RecipeError) as refused:
        tiny.kind.fisher_losses(tiny.model, batch, "empirical", torch.Generator())
    assert refused.value.pointer == "/calibration/batch_size"


def test_a_last_text_joins_the_batch_before_it(tiny: TinyTask) -> None:
    smallest = tiny.kind.smallest_batch
    sizes = [len(batch) for batch in reading_batches(tiny.examples, 3, "cpu", smallest)]
    assert sizes == [3, 4]


def test_texts_need_no_labels(tmp_path: Path) -> None:
    rows = [{"text": row["text"]} for row in sentences(5)]
    examples = tokenized(Embedding(dataset=DATASET), rows, tiny_tokenizer(tmp_path))
    assert isinstance(examples.labels, Tensor)
    assert examples.labels.shape == (5, 0)
