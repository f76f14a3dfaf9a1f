from pathlib import Path

import numpy as np
import pytest

from core.planning.plan import Spectrum
from core.planning.spectra import load_spectra, save_spectra
from tests.planning.problems import convex_spectrum

SPECTRA = {
    "bert.encoder.layer.0.ü": convex_spectrum(np.array([3.0, 2.0, 1e-300])),
    "../../outside": Spectrum(np.array([5.0, 4.0]), None),
    "with φ": Spectrum(np.array([2.0]), None, 0.125),
    "empty": Spectrum(np.empty(0), np.array([7.0])),
}


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    save_spectra(tmp_path / "spectra.npz", SPECTRA)
    loaded = load_spectra(tmp_path / "spectra.npz")
    assert list(loaded) == list(SPECTRA)
    for name, spectrum in SPECTRA.items():
        np.testing.assert_array_equal(
            loaded[name].squared_singular_values, spectrum.squared_singular_values
        )
        assert loaded[name].phi == spectrum.phi
        if spectrum.predicted_increase is None:
            assert loaded[name].predicted_increase is None
        else:
            np.testing.assert_array_equal(
                loaded[name].predicted_increase, spectrum.predicted_increase
            )


def test_no_spectra_are_a_file_too(tmp_path: Path) -> None:
    save_spectra(tmp_path / "spectra.npz", {})
    assert load_spectra(tmp_path / "spectra.npz") == {}


def test_equal_spectra_give_equal_bytes_and_leave_one_file(tmp_path: Path) -> None:
    save_spectra(tmp_path / "a.npz", SPECTRA)
    save_spectra(tmp_path / "b.npz", SPECTRA)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.npz", "b.npz"]


def test_a_failed_write_leaves_what_was_there_and_no_draft(tmp_path: Path) -> None:
    folder = tmp_path / "spectra.npz"
    folder.mkdir()
    with pytest.raises(OSError, match=r"spectra\.npz"):
        save_spectra(folder, SPECTRA)
    assert list(tmp_path.iterdir()) == [folder]


def test_pickles_are_not_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "evil.npz", values=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        load_spectra(tmp_path / "evil.npz")


def test_a_file_of_before_phi_has_none(tmp_path: Path) -> None:
    save_spectra(tmp_path / "new.npz", SPECTRA)
    with np.load(tmp_path / "new.npz") as file:
        np.savez(tmp_path / "old.npz", **{name: file[name] for name in file if name != "phis"})
    assert {spectrum.phi for spectrum in load_spectra(tmp_path / "old.npz").values()} == {None}
