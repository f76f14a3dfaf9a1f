from pathlib import Path

import numpy as np
import pytest
import torch

from core.compression.tasks.batches import make_batch, reading_batches, training_order
from core.compression.tasks.examples import Examples
from tests.compression.tasks.reading import classified
from tests.compression.tiny_models import sentences


@pytest.fixture
def examples(tmp_path: Path) -> Examples:
    return classified(sentences(50), tmp_path)


def test_reading_takes_every_row_once_and_pads_to_the_longest_of_the_batch(
    examples: Examples,
) -> None:
    seen: list[int] = []
    for batch in reading_batches(examples, 8, "cpu"):
        seen.extend(batch.rows)
        assert batch.inputs["input_ids"].shape == (len(batch), examples.lengths[batch.rows].max())
        assert list(batch.inputs["attention_mask"].sum(1)) == list(examples.lengths[batch.rows])
        assert torch.equal(batch.labels, examples.labels[torch.from_numpy(batch.rows)])
    assert sorted(seen) == list(range(50))


def test_padding_is_the_tokenizers_and_unattended(examples: Examples) -> None:
    batch = make_batch(examples, np.arange(20), "cpu")
    padding = batch.inputs["attention_mask"] == 0
    assert padding.any()
    assert (batch.inputs["input_ids"][padding] == 0).all()


def test_parts_make_up_the_batch(examples: Examples) -> None:
    batch = make_batch(examples, np.arange(10), "cpu")
    parts = list(batch.parts(3))
    assert [len(part) for part in parts] == [4, 3, 3]
    assert torch.equal(torch.cat([p.inputs["input_ids"] for p in parts]), batch.inputs["input_ids"])
    assert [len(part) for part in batch.parts(99)] == [1] * 10


def test_training_order_is_a_function_of_seed_and_epoch() -> None:
    lengths = np.random.default_rng(0).integers(3, 99, 1000)
    orders = [
        np.concatenate(training_order(lengths, 16, seed, epoch))
        for seed, epoch in ((1, 0), (1, 0), (1, 1), (2, 0))
    ]
    assert all(sorted(order) == list(range(1000)) for order in orders)
    assert np.array_equal(orders[0], orders[1])
    assert not np.array_equal(orders[0], orders[2])
    assert not np.array_equal(orders[0], orders[3])


def test_training_batches_are_of_like_length_and_not_sorted() -> None:
    lengths = np.random.default_rng(0).integers(3, 99, 1000)
    batches = training_order(lengths, 16, seed=1, epoch=0)
    spread = np.mean([np.ptp(lengths[rows]) for rows in batches])
    assert spread < 0.1 * np.ptp(lengths)
    means = np.array([lengths[rows].mean() for rows in batches])
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.4
    assert sorted(len(rows) for rows in batches) == [8] + [16] * 62
