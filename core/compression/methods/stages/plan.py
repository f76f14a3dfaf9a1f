"""plan: a rank for every target layer, from the layers' spectra and the budget."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from core.compression.factorization.registry import decompose
from core.compression.layer_statistics import LayerStatistics
from core.compression.methods.stage import Stage, Summary, Work, obtain
from core.compression.methods.stages.statistics import load_layer_statistics
from core.compression.models.layers import linear_layer, parameter_count
from core.compression.progress import Progress
from core.compression.run_state import Run, write_json
from core.compression.statistics.phi import phi
from core.planning.left import left_modules
from core.planning.plan import Spectrum
from core.planning.planner import make_plan
from core.planning.spectra import load_spectra, save_spectra
from core.recipe.events import Event, SpectraReady
from core.recipe.statistics import Statistic

FILE = "spectra.npz"


class Spectra(Stage):
    """The squared weighted singular values of every target layer: any number of plans reads them.

    No stage of its own in a recipe's list, since it takes seconds, but cached like one.
    """

    name = "spectra"
    cached = True

    def compute(self, run: Run, folder: Path) -> Work:
        model, statistics = run.load_dense(), load_layer_statistics(run)
        spectra: dict[str, Spectrum] = {}
        for done, layer in enumerate(run.targets, start=1):
            dense, sums = linear_layer(model, layer.name), statistics.get(layer.name)
            decomposition = decompose(
                layer.name, dense.weight, sums, run.recipe.method, dense.bias is not None
            )
            spectra[layer.name] = with_phi(decomposition.spectrum, sums)
            yield Progress(done, len(run.targets), "layer")
        save_spectra(folder / FILE, spectra)


def with_phi(spectrum: Spectrum, statistics: LayerStatistics | None) -> Spectrum:
    """And φ, where the Fisher of every weight was taken."""
    if statistics is None or Statistic.FISHER not in statistics:
        return spectrum
    return replace(spectrum, phi=phi(statistics[Statistic.FISHER]))


class MakePlan(Stage):
    name = "plan"

    def compute(self, run: Run, folder: Path) -> Work:
        yield from obtain(Spectra(), run, reported_as=self.name)
        spectra = load_spectra(run.folder("spectra") / FILE)
        params = parameter_count(run.load_dense())
        plan = make_plan(run.targets, params, run.recipe, spectra)
        left = left_modules(run.checkpoint, run.targets)
        plan = plan.model_copy(update={"left": left})
        write_json(folder / "plan.json", plan.model_dump(mode="json"))

    def facts(self, run: Run) -> Iterator[Event]:
        path = run.relative("spectra", FILE)
        yield SpectraReady(fingerprint=run.fingerprints["spectra"], path=path)

    def summary(self, run: Run) -> Summary:
        return {
            "keep_ratio": run.plan.keep_ratio,
            "factorized_layers": sum(layer.rank is not None for layer in run.plan.layers),
            "predicted_loss_increase": run.plan.predicted_loss_increase,
        }
