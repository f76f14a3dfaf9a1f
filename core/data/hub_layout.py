"""Which of a hub dataset's files hold which of its configurations' splits, by their names alone.

The layouts that the hub's own tools write: `<config>/<split>-00000-of-00001.parquet`,
`<config>/<split>/0000.parquet`, `data/<split>-….parquet`, `<split>.parquet` and their mixtures.
"""

import re
from collections.abc import Iterable

from core.errors import DataError

Splits = dict[str, list[str]]
"""Paths in the repository, in order of name, by split."""

DEFAULT = "default"
"""What the hub calls the configuration of files that lie under none."""
DATA_FOLDER = "data"
SPLIT = r"[A-Za-z0-9_]+(?:\.[A-Za-z0-9_]+)*"
FOLDER = re.compile(r"(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
TABLE = re.compile(rf"({SPLIT})(?:-[A-Za-z0-9_.-]+)?\.parquet")
USUAL = {"train", "training", "validation", "valid", "val", "dev", "test", "testing", "eval"}
"""Names of splits that are seldom names of configurations."""
CONVERTED = 'say "revision": "refs/convert/parquet", where the hub keeps its own conversion'


def configurations(names: Iterable[str]) -> dict[str, Splits]:
    """The splits of every configuration; files of other kinds and layouts are left out."""
    found: dict[str, Splits] = {}
    for name in sorted(names):
        place = _place(name.split("/"))
        if place is not None:
            config, split = place
            found.setdefault(config, {}).setdefault(split, []).append(name)
    return found


def _place(parts: list[str]) -> tuple[str, str] | None:
    """(configuration, split) of a file, or None."""
    *folders, file = parts
    match = TABLE.fullmatch(file)
    if match is None or len(folders) > 2 or not all(FOLDER.fullmatch(name) for name in folders):
        return None
    if folders[:1] == [DATA_FOLDER]:
        folders = [DEFAULT, *folders[1:]]
    if len(folders) == 2:
        return folders[0], folders[1]
    if len(folders) == 1 and folders != [DEFAULT] and _is_part(folders[0], match[1]):
        return DEFAULT, folders[0]
    return (folders[0] if folders else DEFAULT), match[1]


def _is_part(folder: str, name: str) -> bool:
    """The folder is a split, and the file one of its parts."""
    return name.isdecimal() or (folder in USUAL and name not in USUAL)


def chosen_splits(names: Iterable[str], config: str | None) -> Splits:
    """The splits of the configuration, or of the only or default one.

    Raises:
        DataError: at /task/dataset, naming what there is.
    """
    names = list(names)
    found = configurations(names)
    if not found:
        raise _without_tables(names)
    chosen = config or (next(iter(found)) if len(found) == 1 else DEFAULT)
    if chosen not in found:
        what = "several configurations" if config is None else f"no configuration {config!r}"
        raise DataError(
            f"the dataset has {what}",
            hint=f'name one as "config": {listed(found)}',
            pointer="/task/dataset/config",
        )
    return found[chosen]


def _without_tables(names: list[str]) -> DataError:
    what = "holds no parquet files in a known layout"
    if any(name.endswith(".py") for name in names):
        what = "has a loading script, which is never run, and no parquet files"
    return DataError(f"the dataset {what}", hint=CONVERTED, pointer="/task/dataset/id")


def listed(names: Iterable[str]) -> str:
    """The first twenty, quoted."""
    return ", ".join(map(repr, sorted(names)[:20]))
