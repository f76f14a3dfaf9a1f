"""plan: a rank for every target layer, from the layers' spectra and the budget."""

from collections.abc import Iterator
from pathlib import Path

from core.compression.factorization.registry import decompose
from core.compression.methods.stage import Stage, Summary, Work, obtain
from core.compression.methods.stages.statistics import load_layer_statistics
from core.compression.models.factorized import target_weight
from core.compression.models.layers import parameter_count
from core.compression.progress import Progress
from core.compression.run_state import Run, write_json
from core.planning.plan import Spectrum
from core.planning.planner import make_plan
from core.planning.spectra import load_spectra, save_spectra
from core.recipe.events import Event, SpectraReady

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
            weight = target_weight(model, layer.name)
            sums = statistics.get(layer.name)
            decomposition = decompose(layer.name, weight, sums, run.recipe.method)
            spectra[layer.name] = decomposition.spectrum
            yield Progress(done, len(run.targets), "layer")
        save_spectra(folder / FILE, spectra)


class MakePlan(Stage):
    name = "plan"

    def compute(self, run: Run, folder: Path) -> Work:
        yield from obtain(Spectra(), run, reported_as=self.name)
        spectra = load_spectra(run.folder("spectra") / FILE)
        params = parameter_count(run.load_dense())
        plan = make_plan(run.targets, params, run.recipe, spectra)
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
