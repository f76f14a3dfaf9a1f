"""Which file of a hub's repository holds which split."""

import pytest

from core.data.hub_layout import chosen_splits, configurations
from core.errors import DataError

GLUE = [
    "README.md",
    "mrpc/train-00000-of-00001.parquet",
    "mrpc/validation-00000-of-00001.parquet",
    "mnli/train-00001-of-00002.parquet",
    "mnli/train-00000-of-00002.parquet",
    "mnli/validation_matched-00000-of-00001.parquet",
]


def test_a_folder_for_each_configuration() -> None:
    found = configurations(GLUE)
    assert sorted(found) == ["mnli", "mrpc"]
    assert found["mnli"]["train"] == [
        "mnli/train-00000-of-00002.parquet",
        "mnli/train-00001-of-00002.parquet",
    ]
    assert list(found["mnli"]) == ["train", "validation_matched"]


LAYOUTS: list[tuple[str, str, str, str]] = [
    ("converted", "conll2003/train/0000.parquet", "conll2003", "train"),
    ("data folder", "data/train-00000-of-00001-a1b2c3.parquet", "default", "train"),
    ("split folder in data", "data/test/part-7.parquet", "default", "test"),
    ("bare file", "validation.parquet", "default", "validation"),
    ("sharded at the top", "train-00000-of-00003.parquet", "default", "train"),
    ("a file for each split", "plain_text/train.parquet", "plain_text", "train"),
    ("folder of parts", "train/0000.parquet", "default", "train"),
    ("folder of named parts", "train/part-00000.parquet", "default", "train"),
    ("dotted split", "all/train.clean.100-00000-of-00001.parquet", "all", "train.clean.100"),
    ("a configuration called test", "test/train-00000-of-00001.parquet", "test", "train"),
]


@pytest.mark.parametrize(
    ("name", "config", "split"), [case[1:] for case in LAYOUTS], ids=[c[0] for c in LAYOUTS]
)
def test_known_layouts(name: str, config: str, split: str) -> None:
    assert configurations([name]) == {config: {split: [name]}}


@pytest.mark.parametrize(
    "name",
    [
        "a/b/c/train.parquet",
        "../train.parquet",
        "a../train.parquet",
        "data/../train.parquet",
        "/train.parquet",
        "da ta/train.parquet",
        ".git/train.parquet",
        "train.parquet.txt",
        "train.csv",
        "-.parquet",
        "",
    ],
)
def test_other_files_are_left_out(name: str) -> None:
    assert configurations([name]) == {}


def test_the_only_configuration_needs_no_name() -> None:
    names = ["plain_text/train-00000-of-00001.parquet"]
    assert chosen_splits(names, None) == {"train": names}
    assert chosen_splits(names, "plain_text") == {"train": names}


def test_the_default_one_is_taken_of_several() -> None:
    names = ["data/train.parquet", "more/train.parquet"]
    assert chosen_splits(names, None) == {"train": ["data/train.parquet"]}


def refusal(names: list[str], config: str | None) -> DataError:
    with pytest.raises(DataError) as refused:
        chosen_splits(names, config)
    return refused.value


def test_a_configuration_must_be_named_among_several() -> None:
    error = refusal(GLUE, None)
    assert error.pointer == "/task/dataset/config"
    assert error.hint == "name one as \"config\": 'mnli', 'mrpc'"


def test_an_unknown_configuration_is_refused() -> None:
    error = refusal(GLUE, "sst2")
    assert error.message == "the dataset has no configuration 'sst2'"
    assert "'mnli', 'mrpc'" in str(error.hint)
    assert "no configuration 'default'" in refusal(["a/train.parquet"], "default").message


def test_a_dataset_of_scripts_is_refused_with_the_way_out() -> None:
    error = refusal(["conll2003.py", "README.md"], None)
    assert "a loading script, which is never run" in error.message
    assert "refs/convert/parquet" in str(error.hint)
    assert "no parquet files in a known layout" in refusal(["train.csv"], None).message
