import numpy as np
import pytest

from core.compression.tasks.data import Data
from core.compression.tasks.splits import SPLITS, Splits
from core.compression.tasks.splits import split_rows as split_data
from core.errors import DataError
from core.recipe.splits import NamedSplits, SeededSplits, SplitRows

NAMES = ("a", "b", "c")
LABELS = np.array([0] * 600 + [1] * 300 + [2] * 100)


def split_rows(labels: np.ndarray, names: tuple[str, ...], config: SeededSplits) -> Splits:
    return split_data(Data({}, np.full(len(labels), ""), names, labels), config)


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


def test_rows_without_labels_are_split_all_the_same() -> None:
    splits = split_data(Data({}, np.full(50, "")), SeededSplits())
    assert splits.sizes == {"train": 40, "validation": 5, "test": 5}
    assert sorted(np.concatenate([splits.train, splits.validation, splits.test])) == list(range(50))


NAMED = np.array(["dev"] * 20 + ["train"] * 60 + ["eval"] * 20)


def named(config: NamedSplits, split_of: np.ndarray = NAMED) -> Splits:
    labels = np.tile([0, 0, 1, 0], 25)
    return split_data(Data({}, split_of, ("a", "b"), labels), config)


def test_named_splits_are_the_rows_of_that_name_in_a_seeded_order() -> None:
    config = NamedSplits(column="part", validation="dev", test="eval")
    splits = named(config)
    assert sorted(splits.validation) == list(range(20))
    assert sorted(splits.train) == list(range(20, 80))
    assert sorted(splits.test) == list(range(80, 100))
    assert list(splits.train) != list(range(20, 80))
    assert named(config).hash == splits.hash
    assert named(config.model_copy(update={"seed": 3})).hash != splits.hash


def test_without_a_validation_split_a_stratified_tenth_of_train_decides() -> None:
    splits = named(NamedSplits(column="part", validation=None, test="eval"))
    assert splits.sizes == {"train": 55, "validation": 5, "test": 20}
    assert sorted([*splits.train, *splits.validation]) == list(range(20, 80))
    assert {row % 4 == 2 for row in splits.validation} == {True, False}


@pytest.mark.parametrize("field", ["train", "validation", "test"])
def test_a_named_split_without_rows_is_refused(field: str) -> None:
    names = {"train": "train", "validation": "dev", "test": "eval", field: "nowhere"}
    with pytest.raises(DataError, match="'nowhere'") as refused:
        named(NamedSplits(column="part", **names))
    assert refused.value.pointer == f"/task/splits/{field}"


def test_limits_hold_for_named_splits_too() -> None:
    limits = SplitRows(train=10, test=4)
    splits = named(NamedSplits(column="part", validation="dev", test="eval", max_rows=limits))
    assert splits.sizes == {"train": 10, "validation": 20, "test": 4}
