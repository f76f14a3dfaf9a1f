"""Which rows a recipe's splits ask for, and the refusals that every task shares."""

from typing import Any

import pytest

from core.compression.tasks.rows import source_rows
from core.errors import DataError
from core.recipe.splits import NamedSplits, SeededSplits

APART = {name: [{"n": name}] for name in ("train", "dev", "extra")}


def test_a_seed_takes_a_tables_rows_and_of_a_hubs_splits_train() -> None:
    assert [r.cells["n"] for r in source_rows({"": [{"n": 1}, {"n": 2}]}, SeededSplits())] == [1, 2]
    assert [r.cells["n"] for r in source_rows(APART, SeededSplits())] == ["train"]
    with pytest.raises(DataError, match="'train'") as refused:
        list(source_rows({"a": [], "b": []}, SeededSplits()))
    assert refused.value.pointer == "/task/splits"


def test_named_splits_of_a_hub_are_those_asked_for() -> None:
    rows = list(source_rows(APART, NamedSplits(validation=None, test="dev")))
    assert [(row.split, row.place) for row in rows] == [
        ("train", "Row 1 of 'train'"),
        ("dev", "Row 1 of 'dev'"),
    ]
    with pytest.raises(DataError, match=r"'test'") as refused:
        list(source_rows(APART, NamedSplits(validation=None)))
    assert refused.value.pointer == "/task/splits/test"
    assert "'extra'" in (refused.value.hint or "")


def test_a_column_names_the_split_of_a_tables_rows() -> None:
    table = [{"part": part} for part in ("train", "unused", "test", "validation")]
    rows = list(source_rows({"": table}, NamedSplits(column="part")))
    assert [(row.split, row.place) for row in rows] == [
        ("train", "Row 1"),
        ("test", "Row 3"),
        ("validation", "Row 4"),
    ]


@pytest.mark.parametrize("row", [{}, {"part": None}])
def test_a_row_without_its_split_is_refused(row: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="Row 2") as refused:
        list(source_rows({"": [{"part": "train"}, row]}, NamedSplits(column="part")))
    assert refused.value.pointer == "/task/splits/column"
