"""Spectra on disk: one .npz of flat arrays, so that any number of plans needs no second pass."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.planning.plan import Spectrum


def save_spectra(path: Path, spectra: Mapping[str, Spectrum]) -> None:
    """Write atomically: the file appears whole under its name, or not at all.

    Equal spectra give equal bytes.
    """
    values = [s.squared_singular_values for s in spectra.values()]
    increases = [_or_nothing(s.predicted_increase) for s in spectra.values()]
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("wb") as file:
            np.savez(
                file,
                names=np.array(list(spectra), dtype=np.str_),
                value_counts=_lengths(values),
                values=_joined(values),
                increase_counts=_lengths(increases),
                increases=_joined(increases),
                phis=np.array([np.nan if s.phi is None else s.phi for s in spectra.values()]),
            )
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def load_spectra(path: Path) -> dict[str, Spectrum]:
    """What save_spectra wrote, in its order. No pickle is ever read."""
    with np.load(path, allow_pickle=False) as file:
        values = _parted(file["values"], file["value_counts"])
        increases = _parted(file["increases"], file["increase_counts"])
        return {
            name: Spectrum(value, increase if increase.size else None, phi)
            for name, value, increase, phi in zip(
                file["names"].tolist(), values, increases, _phis(file), strict=True
            )
        }


def _or_nothing(increase: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """A predicted increase has at least one entry: no entries stand for None."""
    return np.empty(0) if increase is None else increase


def _phis(file: Any) -> list[float | None]:
    """None for what has none, as all layers of a file of before there were any."""
    if "phis" not in file:
        return [None] * len(file["names"])
    return [None if np.isnan(phi) else float(phi) for phi in file["phis"]]


def _lengths(arrays: list[NDArray[np.float64]]) -> NDArray[np.int64]:
    return np.array([len(array) for array in arrays], dtype=np.int64)


def _joined(arrays: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.concatenate([np.empty(0), *arrays])


def _parted(joined: NDArray[np.float64], lengths: NDArray[np.int64]) -> list[NDArray[np.float64]]:
    return np.split(joined, np.cumsum(lengths))[:-1]
