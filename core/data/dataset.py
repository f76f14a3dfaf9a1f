"""A dataset on disk: one table, or a folder with one sub-folder of tables for each split."""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from core.data.tables import TableFormat, format_of, read_rows
from core.data.values import Row
from core.errors import DataError

WHOLE = ""
"""The one split's name, where a single table holds all rows."""


def read_dataset(path: Path, columns: Collection[str] | None = None) -> dict[str, Iterator[Row]]:
    """Rows by split, each read once, row by row: a file's under "", a folder's by sub-folder.

    Only `columns` are read and checked, where they are given. A split's files are read in the order
    of their names.

    Raises:
        DataError: at once for a file of no known format and a folder without splits; while rows are
            read, for a damaged table, or one that lacks the columns of the first.
    """
    return {name: _rows_of(files, columns) for name, files in split_files(path).items()}


def split_files(path: Path) -> dict[str, list[Path]]:
    """The dataset's tables by split, in the order in which they are read."""
    if not path.is_dir():
        return {WHOLE: [path]}
    folders = sorted(child for child in path.iterdir() if child.is_dir() and _shown(child))
    if not folders:
        raise DataError("the dataset's folder has no splits", hint="one sub-folder for each split")
    return {folder.name: _tables_in(folder) for folder in folders}


def _tables_in(folder: Path) -> list[Path]:
    tables = sorted(child for child in folder.iterdir() if child.is_file() and _shown(child))
    if not tables:
        raise DataError(f"the split {folder.name!r} has no files")
    return tables


def _shown(path: Path) -> bool:
    return not path.name.startswith(".")


def _rows_of(files: Sequence[Path], columns: Collection[str] | None) -> Iterator[Row]:
    return _alike([(file.name, read_rows(file, _format(file), columns)) for file in files])


def _format(file: Path) -> TableFormat:
    format = format_of(file.name)
    if format is None:
        raise DataError(f"{file.name} is no table", hint="name it .csv, .jsonl or .parquet")
    return format


def _alike(tables: Sequence[tuple[str, Iterator[Row]]]) -> Iterator[Row]:
    """All tables' rows, with the columns of the first row."""
    expected: list[str] | None = None
    for name, rows in tables:
        for position, row in enumerate(rows):
            if expected is None:
                expected = list(row)
            if position == 0 and row.keys() != set(expected):
                raise DataError(f"{name} does not have the columns of {tables[0][0]}")
            yield row


def dataset_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes; of a folder, over its splits' names and their files' SHA-256."""
    if not path.is_dir():
        return _file_sha256(path)
    splits = split_files(path).items()
    return splits_sha256({name: [_file_sha256(file) for file in files] for name, files in splits})


def splits_sha256(splits: Mapping[str, Sequence[str]]) -> str:
    """Of a dataset kept apart by split, from the SHA-256 of each split's files in order of name.

    What the hub says of its files gives the digest of the folder that they become.
    """
    lines = [f"{sha256} {name}\n" for name in sorted(splits) for sha256 in splits[name]]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
