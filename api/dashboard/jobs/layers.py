"""A job's layers: where ranks went, what the spectra say, what was predicted and what came."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from core.database.tables import JobLayer
from core.recipe.events import LayerReport
from core.reporting.errors_map import errors_svg
from core.reporting.layer_names import layer_titles
from core.reporting.layer_tables import LayerRow, layer_rows
from core.reporting.numbers import percent
from core.reporting.rank_map import rank_map_svg
from core.reporting.spectra import spectrum_svg


@dataclass(frozen=True)
class SpectrumView:
    layer: str
    told: str
    """rank 57, 1.9 % left out / dense"""
    drawing: Markup


@dataclass(frozen=True)
class LayersPage:
    rank_map: Markup
    spectra: Sequence[SpectrumView]
    has_raw: bool
    """Whether the weights' own spectra are drawn beside the weighted ones."""
    has_phi: bool
    errors: Markup | None
    rows: Sequence[LayerRow]


def layers_page(rows: Sequence[JobLayer]) -> LayersPage | None:
    """None while no layer was reported."""
    layers = [LayerReport.model_validate(row.report) for row in rows]
    if not layers:
        return None
    titles = layer_titles(layer.name for layer in layers)
    drawn = [layer for layer in layers if layer.spectrum]
    errors = errors_svg(layers)
    return LayersPage(
        rank_map=Markup(rank_map_svg(layers)),
        spectra=[
            SpectrumView(titles[layer.name], _told(layer), Markup(spectrum_svg(layer)))
            for layer in drawn
        ],
        has_raw=any(layer.raw_spectrum for layer in drawn),
        has_phi=any(layer.phi is not None for layer in layers),
        errors=Markup(errors) if errors else None,
        rows=layer_rows(layers),
    )


def _told(layer: LayerReport) -> str:
    if layer.rank is None:
        return "dense"
    if layer.retained_energy is None:
        return f"rank {layer.rank}"
    return f"rank {layer.rank}, {percent(1 - layer.retained_energy)} left out"
