"""plan: a rank for every target layer, from the layers' spectra, or from what is measured."""

from collections.abc import Generator, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from torch import nn

from core.compression.allocation.journal import Journal
from core.compression.allocation.measured_plan import measured_plan
from core.compression.allocation.search import Search
from core.compression.allocation.sensitivity import measured_increases
from core.compression.factorization.decomposition import Decomposition
from core.compression.factorization.targets import decompose_target
from core.compression.layer_statistics import LayerStatistics
from core.compression.methods.factor_layers import factor_layers
from core.compression.methods.seeds import stage_seed
from core.compression.methods.stage import Report, Stage, Summary, Work, obtain
from core.compression.methods.stages.dynamic_ranks import read_ranks
from core.compression.methods.stages.statistics import load_layer_sums
from core.compression.models.factorized import Layers, factorized_layers
from core.compression.models.layers import parameter_count
from core.compression.progress import Progress
from core.compression.run_state import Run, write_json
from core.compression.statistics.phi import phi
from core.planning.allocation.sensitivity import Increases
from core.planning.budgets import admissible_ranks
from core.planning.left import left_modules
from core.planning.plan import Plan, Ranks, Spectrum
from core.planning.planner import make_plan, plan_of
from core.planning.spectra import load_spectra, save_spectra
from core.recipe.budget import SensitivityAllocation
from core.recipe.events import Event, SpectraReady
from core.recipe.refit import NoRefit
from core.recipe.statistics import Statistic

FILE = "spectra.npz"


class Spectra(Stage):
    """The squared weighted singular values of every target layer: any number of plans reads them.

    No stage of its own in a recipe's list, since it takes seconds, but cached like one.
    """

    name = "spectra"
    cached = True

    def compute(self, run: Run, folder: Path) -> Work:
        model, statistics = run.load_unfactorized(), load_layer_sums(run)
        spectra: dict[str, Spectrum] = {}
        for done, layer in enumerate(run.targets, start=1):
            sums = statistics.get(layer.name)
            decomposition = decompose_target(model, layer.name, sums, run.recipe.method)
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
        model = run.load_unfactorized()
        if run.recipe.measures_plans:
            search = yield from begin_search(run, model, spectra)
            plan = yield from search_plan(search, folder)
        elif run.recipe.method.finds_ranks:
            plan = plan_of(run.targets, parameter_count(model), read_ranks(run), spectra)
        else:
            plan = make_plan(run.targets, parameter_count(model), run.recipe, spectra)
        plan = plan.model_copy(update={"left": left_modules(run.checkpoint, run.targets)})
        write_json(folder / "plan.json", plan.model_dump(mode="json"))

    def facts(self, run: Run) -> Iterator[Event]:
        path = run.relative("spectra", FILE)
        yield SpectraReady(fingerprint=run.fingerprints["spectra"], path=path)

    def summary(self, run: Run) -> Summary:
        return {
            "keep_ratio": run.plan.keep_ratio,
            "factorized_layers": sum(layer.rank is not None for layer in run.plan.layers),
            "predicted_loss_increase": run.plan.predicted_loss_increase,
            "expected_loss_increase": run.plan.expected_loss_increase,
            "candidates": len(run.plan.candidates),
        }


def begin_search(
    run: Run, model: nn.Module, spectra: dict[str, Spectrum]
) -> Generator[Progress, None, Search]:
    """Every layer that may be factorized is decomposed once, and kept."""
    statistics = load_layer_sums(run)
    layers = [each for each in run.targets if admissible_ranks(each, run.recipe.allocation)]
    decompositions: dict[str, Decomposition] = {}
    for done, layer in enumerate(layers, start=1):
        sums = statistics.get(layer.name)
        decompositions[layer.name] = decompose_target(model, layer.name, sums, run.recipe.method)
        yield Progress(done, len(layers), "layer")
    return Search(
        recipe=run.recipe,
        layers=run.targets,
        model_params=parameter_count(model),
        spectra=spectra,
        model=model,
        decompositions=decompositions,
        task=run.task,
        validation=run.examples["validation"],
        journal=Journal(run.checkpoints("plan") / "journal.json"),
        seed=stage_seed(run.recipe.seed, "plan"),
        device=run.device,
        refitted=None if isinstance(run.recipe.refit, NoRefit) else partial(refitted_layers, run),
    )


def refitted_layers(run: Run, ranks: Ranks) -> Generator[Progress, None, Layers]:
    """In a model of its own."""
    model = run.load_unfactorized()
    yield from factor_layers(run, model, ranks, run.checkpoints("plan") / "streams")
    return dict(factorized_layers(model))


def search_plan(search: Search, folder: Path) -> Generator[Report, None, Plan]:
    increases: Increases = {}
    allocation = search.recipe.allocation
    if isinstance(allocation, SensitivityAllocation):
        increases = yield from measured_increases(search, allocation)
        write_json(folder / "sensitivity.json", increases)
    return (yield from measured_plan(search, increases))
