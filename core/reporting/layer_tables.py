"""The rows of a report's tables of layers, as text."""

from collections.abc import Sequence
from dataclasses import dataclass

from core.recipe.events import LayerReport
from core.reporting.layer_names import layer_titles
from core.reporting.numbers import grouped, percent
from core.reporting.result import Result


@dataclass(frozen=True)
class LayerRow:
    layer: str
    shape: str
    rank: str
    kept: str
    energy_left_out: str
    """Of the squared singular values in the method's norm."""
    predicted_increase: str
    """Of the mean example loss, in thousandths."""
    measured_error: str
    phi: str
    """In thousandths."""


@dataclass(frozen=True)
class PruningRow:
    layer: str
    left: str
    """The share of weights."""
    full_rank: str
    before: str
    """The numerical rank of where the training started,"""
    after: str
    """and of what it left."""
    exact: str
    empty: str
    """Rows and columns."""


def layer_rows(layers: Sequence[LayerReport]) -> tuple[LayerRow, ...]:
    """Each target layer; what its method does not tell is empty."""
    titles = layer_titles(layer.name for layer in layers)
    return tuple(
        LayerRow(
            layer=titles[layer.name],
            shape=f"{grouped(layer.out_features)} × {grouped(layer.in_features)}",
            rank="dense" if layer.rank is None else grouped(layer.rank),
            kept=percent(layer.params_after / layer.params_before),
            energy_left_out=(
                "" if layer.retained_energy is None else percent(1 - layer.retained_energy, 2)
            ),
            predicted_increase=thousandths(layer.predicted_loss_increase),
            measured_error="" if layer.measured_error is None else percent(layer.measured_error, 2),
            phi=thousandths(layer.phi),
        )
        for layer in layers
    )


def pruning_rows(result: Result) -> tuple[PruningRow, ...]:
    """Each pruned matrix; none where the method prunes nothing."""
    if result.pruning is None:
        return ()
    titles = layer_titles(layer.name for layer in result.pruning.layers)
    return tuple(
        PruningRow(
            layer=titles[layer.name],
            left=percent(1 - layer.sparsity),
            full_rank=grouped(layer.full_rank),
            before=grouped(layer.numerical_rank_before),
            after=grouped(layer.numerical_rank_after),
            exact=grouped(layer.exact_rank_after),
            empty=f"{grouped(layer.empty_rows)} and {grouped(layer.empty_columns)}",
        )
        for layer in result.pruning.layers
    )


def thousandths(value: float | None) -> str:
    return "" if value is None else f"{1000 * value:.3f}"
