"""factorize: replace each planned layer by two thin ones, and measure what that loses."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from safetensors.torch import save_model
from torch import Tensor

from core.compression.linalg import accumulation_dtype
from core.compression.methods.factor_layers import Errors, factor_layers
from core.compression.methods.stage import Stage, Summary, Work
from core.compression.methods.stages.plan import FILE as SPECTRA_FILE
from core.compression.models.factorized import target_weight
from core.compression.run_state import Run, write_json
from core.planning.spectra import load_spectra
from core.recipe.events import Event, LayerReport, LayersReported

POINTS = 128
"""A reported spectrum is thinned to at most this many values."""


class Factorize(Stage):
    name = "factorize"

    def compute(self, run: Run, folder: Path) -> Work:
        model, streams = run.load_unfactorized(), run.checkpoints(self.name)
        raw = {layer.name: raw_spectrum(target_weight(model, layer.name)) for layer in run.targets}
        errors = yield from factor_layers(run, model, run.plan.ranks, streams)
        save_model(model, str(folder / "model.safetensors"))
        reports = layer_reports(run, errors, raw)
        write_json(folder / "layers.json", [report.model_dump(mode="json") for report in reports])

    def facts(self, run: Run) -> Iterator[Event]:
        yield LayersReported(layers=read_layer_reports(run))

    def summary(self, run: Run) -> Summary:
        layers = read_layer_reports(run)
        errors = [layer.measured_error for layer in layers if layer.measured_error is not None]
        return {"factorized_layers": len(errors), "weighted_error_max": max(errors, default=None)}


def read_layer_reports(run: Run) -> tuple[LayerReport, ...]:
    return tuple(LayerReport(**report) for report in run.read("factorize", "layers.json"))


def layer_reports(
    run: Run, errors: Errors, raw: Mapping[str, NDArray[np.float64]]
) -> list[LayerReport]:
    spectra = load_spectra(run.folder("spectra") / SPECTRA_FILE)
    return [
        LayerReport(
            **layer.model_dump(),
            measured_error=errors.get(layer.name),
            spectrum=thinned(spectra[layer.name].squared_singular_values),
            raw_spectrum=thinned(raw[layer.name]),
        )
        for layer in run.plan.layers
    ]


def raw_spectrum(weight: Float[Tensor, "out in"]) -> NDArray[np.float64]:
    """Squared singular values, descending: the eigenvalues of the smaller of W Wᵀ and Wᵀ W."""
    rows = weight.detach().to(accumulation_dtype(weight.device))
    smaller = rows @ rows.T if rows.shape[0] <= rows.shape[1] else rows.T @ rows
    values: NDArray[np.float64] = torch.linalg.eigvalsh(smaller).flip(0).clamp(min=0).cpu().numpy()
    return values


def thinned(spectrum: NDArray[np.float64]) -> tuple[float, ...]:
    """At most `POINTS` values at even distances, first and last among them."""
    places = np.linspace(0, len(spectrum) - 1, min(POINTS, len(spectrum)))
    return tuple(float(value) for value in spectrum[places.round().astype(int)])
