import numpy as np
import pytest

from core.compression.tasks.splits import SPLITS, split_rows
from core.errors import DataError
from core.recipe.task import SeededSplits, SplitRows

NAMES = ("a", "b", "c")
LABELS = np.array([0] * 600 + [1] * 300 + [2] * 100)


def share(labels: np.ndarray) -> np.ndarray:
    return np.bincount(labels, minlength=3) / len(labels)


def test_every_row_is_in_one_split() -> None:
    splits = split_rows(LABELS, NAMES, SeededSplits())
    rows = np.concatenate([splits.train, splits.validation, splits.test])
    assert sorted(rows) == list(range(1000))
    assert splits.sizes == {"train": 800, "validation": 100, "test": 100}


@pytest.mark.parametrize("name", SPLITS)
def test_splits_are_stratified(name: str) -> None:
    splits = split_rows(LABELS, NAMES, SeededSplits())
    assert share(LABELS[getattr(splits, name)]) == pytest.approx(share(LABELS), abs=0.001)


def test_limits_keep_the_proportions_and_every_label() -> None:
    limits = SplitRows(train=50, validation=10, test=3)
    splits = split_rows(LABELS, NAMES, SeededSplits(max_rows=limits))
    assert splits.sizes == {"train": 50, "validation": 10, "test": 3}
    assert share(LABELS[splits.train]) == pytest.approx(share(LABELS), abs=0.021)
    assert set(LABELS[splits.test]) == {0, 1, 2}


def test_a_limit_takes_a_part_of_the_unlimited_split() -> None:
    unlimited = split_rows(LABELS, NAMES, SeededSplits())
    limited = split_rows(LABELS, NAMES, SeededSplits(max_rows=SplitRows(train=50)))
    assert set(limited.train) < set(unlimited.train)
    assert list(limited.test) == list(unlimited.test)


def test_the_seed_decides_and_the_hash_tells() -> None:
    hashes = [split_rows(LABELS, NAMES, SeededSplits(seed=seed)).hash for seed in (1, 1, 2)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_three_rows_of_a_label_are_one_for_each_split() -> None:
    labels = np.array([0] * 20 + [1] * 3)
    config = SeededSplits(train=0.05, validation=0.9, test=0.05)
    splits = split_rows(labels, ("a", "b"), config)
    assert all(1 in labels[getattr(splits, name)] for name in SPLITS)


def test_two_rows_of_a_label_are_refused() -> None:
    with pytest.raises(DataError, match="'b' has 2") as refused:
        split_rows(np.array([0] * 20 + [1] * 2), ("a", "b"), SeededSplits())
    assert refused.value.pointer == "/task/label"


def test_a_limit_below_the_number_of_labels_is_refused() -> None:
    with pytest.raises(DataError, match="3 labels") as refused:
        split_rows(LABELS, NAMES, SeededSplits(max_rows=SplitRows(validation=2)))
    assert refused.value.pointer == "/task/splits/max_rows/validation"
