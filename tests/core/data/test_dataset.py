"""A dataset on disk, one file or a folder of splits, as rows by split and as a digest."""

import hashlib
from pathlib import Path

import pytest

from core.data.dataset import dataset_sha256, read_dataset, splits_sha256
from core.errors import DataError
from tests.core.data.parquet_files import write_parquet


def folder_of(root: Path) -> Path:
    """Three splits, train in two files whose names are not in the order of their making."""
    write_parquet(root / "train" / "0001.parquet", {"text": ["c"], "label": [1]})
    write_parquet(root / "train" / "0000.parquet", {"text": ["a", "b"], "label": [0, 1]})
    write_parquet(root / "test" / "0000.parquet", {"text": ["d"], "label": [0]})
    (root / "validation").mkdir()
    (root / "validation" / "rows.jsonl").write_text('{"label": 0, "text": "e"}\n')
    return root


def test_a_file_is_one_split_without_a_name(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a\n1\n2\n")
    assert {name: list(rows) for name, rows in read_dataset(path).items()} == {
        "": [{"a": "1"}, {"a": "2"}]
    }


def test_a_folder_is_read_by_sub_folder_in_order_of_name(tmp_path: Path) -> None:
    splits = {name: list(rows) for name, rows in read_dataset(folder_of(tmp_path)).items()}
    assert list(splits) == ["test", "train", "validation"]
    assert [row["text"] for row in splits["train"]] == ["a", "b", "c"]
    assert splits["validation"] == [{"text": "e", "label": 0}]


def test_hidden_files_are_nobodys(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    before = dataset_sha256(folder)
    (folder / "train" / ".0002.parquet.partial").write_bytes(b"half")
    (folder / ".cache").mkdir()
    assert list(read_dataset(folder)) == ["test", "train", "validation"]
    assert dataset_sha256(folder) == before


def test_columns_are_chosen_in_every_split(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train" / "0.parquet", {"text": ["a"], "image": [b"x"]})
    assert list(read_dataset(tmp_path, ["text"])["train"]) == [{"text": "a"}]
    with pytest.raises(DataError, match="column 'image' holds bytes"):
        list(read_dataset(tmp_path)["train"])


def test_files_of_a_split_have_the_same_columns(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train" / "0.parquet", {"text": ["a"]})
    write_parquet(tmp_path / "train" / "1.parquet", {"other": ["a"]})
    with pytest.raises(DataError, match=r"1\.parquet does not have the columns of 0\.parquet"):
        list(read_dataset(tmp_path)["train"])


def test_what_holds_no_tables_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no splits"):
        read_dataset(tmp_path)
    (tmp_path / "train").mkdir()
    with pytest.raises(DataError, match="the split 'train' has no files"):
        read_dataset(tmp_path)
    (tmp_path / "train" / "rows.txt").write_text("a")
    with pytest.raises(DataError, match=r"rows\.txt is no table"):
        read_dataset(tmp_path)


def test_the_digest_is_of_the_content_alone(tmp_path: Path) -> None:
    one, two = folder_of(tmp_path / "one"), folder_of(tmp_path / "two")
    assert dataset_sha256(one) == dataset_sha256(two)
    (two / "train" / "0000.parquet").rename(two / "train" / "000.parquet")
    assert dataset_sha256(one) == dataset_sha256(two)
    (two / "train" / "000.parquet").rename(two / "train" / "0002.parquet")
    assert dataset_sha256(one) != dataset_sha256(two)


def test_the_digest_can_be_told_from_the_files_digests(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    digests = {
        split.name: [
            hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(split.iterdir())
        ]
        for split in folder.iterdir()
    }
    assert splits_sha256(digests) == dataset_sha256(folder)
    (file,) = (folder / "test").iterdir()
    assert dataset_sha256(file) == digests["test"][0]
