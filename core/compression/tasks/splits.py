"""Seeded, stratified splits of labelled rows. NumPy only, the same on every machine."""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.errors import DataError
from core.recipe.task import SeededSplits

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Splits:
    """Row numbers of each split, in the order in which the split is read."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]

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


def split_rows(
    labels: NDArray[np.int64], label_names: tuple[str, ...], config: SeededSplits
) -> Splits:
    """Give every label's rows [n] to train, validation and test by the recipe's shares.

    Each split holds every label at least once.

    Raises:
        DataError: a label has fewer than three rows, or a `max_rows` has no room for every label.
    """
    generator = np.random.default_rng([config.seed, 0x5711])
    pools: dict[str, list[NDArray[np.int64]]] = {name: [] for name in SPLITS}
    for label, label_name in enumerate(label_names):
        rows = generator.permutation(np.flatnonzero(labels == label))
        for name, part in zip(SPLITS, _shares(rows, label_name, config), strict=True):
            pools[name].append(part)
    orders = dict(zip(SPLITS, generator.spawn(len(SPLITS)), strict=True))
    limits = dict(config.max_rows)
    return Splits(
        **{
            name: orders[name].permutation(_at_most(limits[name], pools[name], name))
            for name in SPLITS
        }
    )


def _shares(
    rows: NDArray[np.int64], label_name: str, config: SeededSplits
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    if len(rows) < len(SPLITS):
        raise DataError(
            f"The label {label_name!r} has {len(rows)} of the 3 rows that it needs: "
            "one each for train, validation and test.",
            hint="Give this label more rows, or leave it out of the file.",
            pointer="/task/label",
        )
    validation = min(max(1, int(len(rows) * config.validation)), len(rows) - 2)
    test = min(max(1, int(len(rows) * config.test)), len(rows) - 1 - validation)
    train = len(rows) - validation - test
    return rows[:train], rows[train : train + validation], rows[train + validation :]


def _at_most(limit: int | None, pools: list[NDArray[np.int64]], name: str) -> NDArray[np.int64]:
    """The first rows of every label's pool, in the pools' proportions, at least one of each."""
    rows = np.concatenate(pools)
    if limit is None or len(rows) <= limit:
        return rows
    if limit < len(pools):
        raise DataError(
            f"max_rows.{name} is {limit}, but there are {len(pools)} labels.",
            pointer=f"/task/splits/max_rows/{name}",
        )
    depth = np.concatenate([np.arange(len(pool)) / len(pool) for pool in pools])
    return rows[np.argsort(depth, kind="stable")[:limit]]
