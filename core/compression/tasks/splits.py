"""Which rows are in which split: seeded, or named by the data. NumPy only, equal on any machine."""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.compression.tasks.data import Data
from core.errors import DataError
from core.recipe.splits import NamedSplits, SeededSplits, SplitRows

SPLITS = ("train", "validation", "test")
HELD_OUT = 0.1
"""The share of train that decides, where the data names no validation split."""

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Splits:
    """Row numbers of each split, in the order in which the split is read."""

    train: Rows
    validation: Rows
    test: Rows

    @property
    def sizes(self) -> dict[str, int]:
        return {name: len(getattr(self, name)) for name in SPLITS}

    @property
    def hash(self) -> str:
        """SHA-256 over which row is in which split, and in what order."""
        digest = hashlib.sha256()
        for name in SPLITS:
            digest.update(name.encode())
            digest.update(getattr(self, name).astype("<i8").tobytes())
        return digest.hexdigest()


def split_rows(data: Data, config: SeededSplits | NamedSplits) -> Splits:
    """Rows for train, validation and test, stratified by label where rows have one.

    By a seed, each split holds every label at least once.

    Raises:
        DataError: a label has fewer than three rows (by a seed), a `max_rows` has no room for every
            label, or a named split has no rows.
    """
    generator = np.random.default_rng([config.seed, 0x5711])
    if isinstance(config, SeededSplits):
        pools = _seeded_pools(data, config, generator)
    else:
        pools = _named_pools(data, config, generator)
    orders = dict(zip(SPLITS, generator.spawn(len(SPLITS)), strict=True))
    chosen = {name: _at_most(config.max_rows, pools[name], name) for name in SPLITS}
    return Splits(**{name: orders[name].permutation(chosen[name]) for name in SPLITS})


Pools = dict[str, list[Rows]]
"""By split, the rows of each label in the order in which they are taken."""


def _seeded_pools(data: Data, config: SeededSplits, generator: np.random.Generator) -> Pools:
    pools: Pools = {name: [] for name in SPLITS}
    for label, rows in enumerate(data.strata):
        parts = _shares(generator.permutation(rows), _called(data, label), config)
        for name, part in zip(SPLITS, parts, strict=True):
            pools[name].append(part)
    return pools


def _called(data: Data, label: int) -> str:
    return "The dataset" if data.labels is None else f"The label {data.label_names[label]!r}"


def _shares(rows: Rows, called: str, config: SeededSplits) -> tuple[Rows, Rows, Rows]:
    if len(rows) < len(SPLITS):
        raise DataError(
            f"{called} has {len(rows)} of the 3 rows that it needs: "
            "one each for train, validation and test.",
            hint="Add rows, or leave out what has too few.",
            pointer="/task/label" if called != "The dataset" else "/task/dataset",
        )
    validation = min(max(1, int(len(rows) * config.validation)), len(rows) - 2)
    test = min(max(1, int(len(rows) * config.test)), len(rows) - 1 - validation)
    train = len(rows) - validation - test
    return rows[:train], rows[train : train + validation], rows[train + validation :]


def _named_pools(data: Data, config: NamedSplits, generator: np.random.Generator) -> Pools:
    pools: Pools = {name: [] for name in SPLITS}
    for rows in data.strata:
        shuffled = generator.permutation(rows)
        names = data.split_of[shuffled]
        train = shuffled[names == config.train]
        held_out = int(len(train) * HELD_OUT) if config.validation is None else 0
        if config.validation is None and len(train) > 1:
            held_out = max(1, held_out)
        pools["train"].append(train[held_out:])
        pools["validation"].append(
            train[:held_out] if config.validation is None else shuffled[names == config.validation]
        )
        pools["test"].append(shuffled[names == config.test])
    for name in SPLITS:
        _refuse_empty(pools[name], name, config)
        if data.labels is not None:
            _refuse_one_sided(pools[name], name)
    return pools


def _refuse_empty(pools: list[Rows], name: str, config: NamedSplits) -> None:
    if not any(len(pool) for pool in pools):
        called = getattr(config, name)
        raise DataError(
            f"No row is in the split {called!r}." if called else "Train has no rows to hold out.",
            pointer=f"/task/splits/{name}",
        )


def _refuse_one_sided(pools: list[Rows], name: str) -> None:
    if sum(len(pool) > 0 for pool in pools) < 2:
        raise DataError(
            f"All rows of the {name} split have the same label.",
            hint="Every split needs two labels or more.",
            pointer=f"/task/splits/{name}",
        )


def _at_most(limits: SplitRows, pools: list[Rows], name: str) -> Rows:
    """The first rows of every label's pool, in the pools' proportions, at least one of each."""
    filled = [pool for pool in pools if len(pool)]
    rows, limit = np.concatenate(filled), getattr(limits, name)
    if limit is None or len(rows) <= limit:
        return rows
    if limit < len(filled):
        raise DataError(
            f"max_rows.{name} is {limit}, but there are {len(filled)} labels.",
            pointer=f"/task/splits/max_rows/{name}",
        )
    depth = np.concatenate([np.arange(len(pool)) / len(pool) for pool in filled])
    return rows[np.argsort(depth, kind="stable")[:limit]]
