"""factorize: replace each planned layer by two thin ones, and measure what that loses.

Each layer on the dense model's own statistics, or, with a refit, block after block on the inputs
that the layers before it now give.
"""

import shutil
from collections.abc import Generator, Iterator
from pathlib import Path

import numpy as np
from safetensors.torch import save_model
from torch import nn

from core.compression.factorization.refit import refit, refitted_bias
from core.compression.factorization.targets import decompose_target, replacement
from core.compression.layer_statistics import LayerStatistics
from core.compression.low_rank import LowRankLinear
from core.compression.methods.sequential_refit import Target, refit_sequentially
from core.compression.methods.stage import Stage, Summary, Work
from core.compression.methods.stages.plan import FILE as SPECTRA_FILE
from core.compression.methods.stages.statistics import load_layer_sums
from core.compression.models.factorized import Layers
from core.compression.models.layers import replace_layers
from core.compression.progress import Progress
from core.compression.run_state import Run, write_json
from core.compression.tasks.batches import reading_batches
from core.errors import NumericalError
from core.planning.spectra import load_spectra
from core.recipe.events import Event, LayerReport, LayersReported
from core.recipe.refit import NoRefit

Errors = dict[str, float]
"""Each factorized layer's, in the norm that was minimized."""

POINTS = 128
"""A reported spectrum is thinned to at most this many values."""


class Factorize(Stage):
    name = "factorize"

    def compute(self, run: Run, folder: Path) -> Work:
        model, refits = run.load_unfactorized(), run.recipe.refit.type != "none"
        errors = yield from (refit_layers(run, model) if refits else factorize_alone(run, model))
        save_model(model, str(folder / "model.safetensors"))
        reports = layer_reports(run, errors)
        write_json(folder / "layers.json", [report.model_dump(mode="json") for report in reports])

    def facts(self, run: Run) -> Iterator[Event]:
        yield LayersReported(layers=read_layer_reports(run))

    def summary(self, run: Run) -> Summary:
        layers = read_layer_reports(run)
        errors = [layer.measured_error for layer in layers if layer.measured_error is not None]
        return {"factorized_layers": len(errors), "weighted_error_max": max(errors, default=None)}


def factorize_alone(run: Run, model: nn.Module) -> Generator[Progress, None, Errors]:
    statistics = load_layer_sums(run)
    errors: Errors = {}
    for done, layer in enumerate(run.plan.layers, start=1):
        if layer.rank is not None:
            sums = statistics.get(layer.name)
            layers, errors[layer.name] = closed_form(run, model, layer.name, layer.rank, sums)
            replace_layers(model, layers)
        yield Progress(done, len(run.plan.layers), "layer")
    return errors


def closed_form(
    run: Run, model: nn.Module, name: str, rank: int, statistics: LayerStatistics | None
) -> tuple[Layers, float]:
    """What takes the target's place, and its error."""
    found = decompose_target(model, name, statistics, run.recipe.method)
    factors = found.truncate(rank)
    layers = replacement(model, name, found, factors)
    for layer in layers.values():
        finite(name, layer)
    return layers, found.relative_error(factors)


def refit_layers(run: Run, model: nn.Module) -> Generator[Progress, None, Errors]:
    """A token embedding is read before all blocks, by tokens that nothing shifts: its factors are
    those of its closed form."""
    config, statistics = run.recipe.refit, load_layer_sums(run)
    assert not isinstance(config, NoRefit)
    ranks = {layer.name: layer.rank for layer in run.plan.layers if layer.rank is not None}
    errors: Errors = {}
    ahead: Layers = {}
    for layer in run.plan.layers:
        if layer.use != "linear" and layer.rank is not None:
            sums = statistics.get(layer.name)
            layers, errors[layer.name] = closed_form(run, model, layer.name, layer.rank, sums)
            ahead |= layers

    def solve(target: Target) -> nn.Module:
        name, dense, moments = target.name, target.layer, target.moments
        method, sums = run.recipe.method, statistics.get(name)
        found = refit(name, dense.weight, moments, config.damping, sums, method, ranks[name])
        errors[name] = found.relative_error
        bias = refitted_bias(dense.weight, dense.bias, found.factors, moments)
        return finite(name, LowRankLinear.from_factors(found.factors, bias))

    names = [layer.name for layer in run.plan.layers if layer.use == "linear"]
    examples = run.examples["train"].head(config.rows)
    batches = reading_batches(examples, config.batch_size, run.device)
    streams = run.checkpoints("factorize")
    shutil.rmtree(streams, ignore_errors=True)
    granularity = config.granularity
    yield from refit_sequentially(model, names, ranks, batches, solve, granularity, streams, ahead)
    return errors


def read_layer_reports(run: Run) -> tuple[LayerReport, ...]:
    return tuple(LayerReport(**report) for report in run.read("factorize", "layers.json"))


def layer_reports(run: Run, errors: dict[str, float]) -> list[LayerReport]:
    spectra = load_spectra(run.folder("spectra") / SPECTRA_FILE)
    return [
        LayerReport(
            **layer.model_dump(),
            measured_error=errors.get(layer.name),
            spectrum=thinned(spectra[layer.name].squared_singular_values),
        )
        for layer in run.plan.layers
    ]


def thinned(spectrum: np.ndarray) -> tuple[float, ...]:
    """At most `POINTS` values at even distances, first and last among them."""
    places = np.linspace(0, len(spectrum) - 1, min(POINTS, len(spectrum)))
    return tuple(float(value) for value in spectrum[places.round().astype(int)])


def finite(name: str, layer: nn.Module) -> nn.Module:
    """
    Raises:
        NumericalError: a factor holds a value that is not finite.
    """
    if not all(bool(parameter.isfinite().all()) for parameter in layer.parameters()):
        raise NumericalError(f"{name}: the factors hold values that are not finite.")
    return layer
