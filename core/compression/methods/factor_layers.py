"""Puts factors of given ranks in a dense model's layers: each alone, or refitted one by one.

Alone, every layer is cut from the dense model's own statistics. With a refit, blocks follow each
other from first to last, and each layer is fitted to the inputs that those before it now give.
"""

import shutil
from collections.abc import Generator
from pathlib import Path

from torch import nn

from core.compression.factorization.refit import refit, refitted_bias
from core.compression.factorization.targets import decompose_target, replacement
from core.compression.layer_statistics import LayerStatistics
from core.compression.low_rank import LowRankLinear
from core.compression.methods.sequential_refit import Target, refit_sequentially
from core.compression.methods.stages.statistics import load_layer_sums
from core.compression.models.factorized import Layers
from core.compression.models.layers import replace_layers
from core.compression.progress import Progress
from core.compression.run_state import Run
from core.compression.tasks.batches import reading_batches
from core.errors import NumericalError
from core.planning.plan import Ranks
from core.recipe.refit import NoRefit

Errors = dict[str, float]
"""Each factorized layer's, in the norm that was minimized."""


def factor_layers(
    run: Run, model: nn.Module, ranks: Ranks, streams: Path
) -> Generator[Progress, None, Errors]:
    """In place, as the recipe says; None is dense. The folder is a refit's, for its streams."""
    if isinstance(run.recipe.refit, NoRefit):
        return (yield from factor_alone(run, model, ranks))
    return (yield from factor_with_refit(run, model, ranks, streams))


def factor_alone(run: Run, model: nn.Module, ranks: Ranks) -> Generator[Progress, None, Errors]:
    statistics = load_layer_sums(run)
    errors: Errors = {}
    for done, (name, rank) in enumerate(ranks.items(), start=1):
        if rank is not None:
            layers, errors[name] = closed_form(run, model, name, rank, statistics.get(name))
            replace_layers(model, layers)
        yield Progress(done, len(ranks), "layer")
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


def factor_with_refit(
    run: Run, model: nn.Module, ranks: Ranks, streams: Path
) -> Generator[Progress, None, Errors]:
    """A token embedding is read before all blocks, by tokens that nothing shifts: its factors are
    those of its closed form."""
    config, statistics = run.recipe.refit, load_layer_sums(run)
    assert not isinstance(config, NoRefit)
    factorized = {name: rank for name, rank in ranks.items() if rank is not None}
    errors: Errors = {}
    ahead: Layers = {}
    for target in run.targets:
        name = target.name
        if target.use != "linear" and name in factorized:
            layers, errors[name] = closed_form(
                run, model, name, factorized[name], statistics.get(name)
            )
            ahead |= layers

    def solve(target: Target) -> nn.Module:
        name, dense, moments = target.name, target.layer, target.moments
        method, sums = run.recipe.method, statistics.get(name)
        found = refit(name, dense.weight, moments, config.damping, sums, method, factorized[name])
        errors[name] = found.relative_error
        bias = refitted_bias(dense.weight, dense.bias, found.factors, moments)
        return finite(name, LowRankLinear.from_factors(found.factors, bias))

    names = [target.name for target in run.targets if target.use == "linear"]
    examples = run.examples["train"].head(config.rows)
    batches = reading_batches(examples, config.batch_size, run.device)
    shutil.rmtree(streams, ignore_errors=True)
    yield from refit_sequentially(
        model, names, factorized, batches, solve, config.granularity, streams, ahead
    )
    return errors


def finite(name: str, layer: nn.Module) -> nn.Module:
    """
    Raises:
        NumericalError: a factor holds a value that is not finite.
    """
    if not all(bool(parameter.isfinite().all()) for parameter in layer.parameters()):
        raise NumericalError(f"{name}: the factors hold values that are not finite.")
    return layer
