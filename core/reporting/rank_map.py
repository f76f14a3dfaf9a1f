"""The rank map: which share of every layer was kept, block by block, module by module."""

from collections.abc import Sequence

from core.recipe.events import LayerReport
from core.reporting import svg
from core.reporting.layer_names import place_of, short_labels
from core.reporting.numbers import grouped, percent
from core.reporting.scale import LinearScale

CELL_WIDTH, CELL_HEIGHT, GAP = 62.0, 24.0, 2.0
LEFT, TOP, KEY_HEIGHT = 34.0, 34.0, 58.0
DARK_ENOUGH = 0.55
"""From this opacity on, a cell's number is written in the colour meant for the accent."""

USES = {"linear": "", "lookup": ", token embedding", "tied": ", token embedding and head"}


def rank_map_svg(layers: Sequence[LayerReport]) -> str:
    """Cells: blocks down, modules across, shaded by the share kept; a frame marks a dense layer."""
    columns = list(dict.fromkeys(place_of(layer.name).module for layer in layers))
    rows = list(dict.fromkeys(place_of(layer.name).block for layer in layers))
    width = LEFT + len(columns) * CELL_WIDTH
    height = TOP + len(rows) * CELL_HEIGHT + KEY_HEIGHT
    largest = max(1.0, *(kept_share(layer) for layer in layers))
    cells = [_cell(layer, columns, rows, largest) for layer in layers]
    key = _key(layers, LinearScale(0, largest, LEFT, width - GAP), height - KEY_HEIGHT + 22)
    label = "Share of each layer's parameters kept, with its rank"
    return svg.drawing(
        width, height, label, *_column_labels(columns), *_row_labels(rows), *cells, *key
    )


def kept_share(layer: LayerReport) -> float:
    return layer.params_after / layer.params_before


def full_rank(layer: LayerReport) -> int:
    return min(layer.out_features, layer.in_features)


def break_even_rank(layer: LayerReport) -> int:
    """The largest rank whose factors are no larger than the dense matrix."""
    return layer.out_features * layer.in_features // (layer.out_features + layer.in_features)


def describe(layer: LayerReport) -> str:
    size = f"{layer.name}: {layer.out_features} × {layer.in_features}{USES[layer.use]}"
    if layer.rank is None:
        return f"{size}, left dense"
    kept = f"{grouped(layer.params_after)} of {grouped(layer.params_before)} parameters"
    return (
        f"{size}, rank {layer.rank} of {full_rank(layer)} "
        f"(break-even {break_even_rank(layer)}), {kept}, {percent(kept_share(layer))}"
    )


def _cell(layer: LayerReport, columns: list[str], rows: list[int | None], largest: float) -> str:
    place = place_of(layer.name)
    x = LEFT + columns.index(place.module) * CELL_WIDTH
    y = TOP + rows.index(place.block) * CELL_HEIGHT
    opacity = kept_share(layer) / largest
    return svg.group(
        _shade(layer, x, y, opacity),
        _number(layer, x + (CELL_WIDTH - GAP) / 2, y + CELL_HEIGHT / 2 + 3, opacity),
        tooltip=describe(layer),
    )


def _shade(layer: LayerReport, x: float, y: float, opacity: float) -> str:
    width, height = CELL_WIDTH - GAP, CELL_HEIGHT - GAP
    if layer.rank is None:
        return svg.rectangle(x + 0.5, y + 0.5, width - 1, height - 1, "dense-cell", radius=2)
    return svg.rectangle(x, y, width, height, "shade", radius=2, opacity=opacity)


def _number(layer: LayerReport, x: float, y: float, opacity: float) -> str:
    if layer.rank is None:
        return svg.text(x, y, "dense", "cell-text quiet", "middle")
    ink = "cell-text on-accent" if opacity >= DARK_ENOUGH else "cell-text"
    beyond = "▴" if kept_share(layer) > 1 else ""
    return svg.text(x, y, f"{layer.rank}{beyond}", ink, "middle")


def _column_labels(columns: list[str]) -> list[str]:
    labels = short_labels(columns)
    parts = []
    for index, module in enumerate(columns):
        x = LEFT + index * CELL_WIDTH + (CELL_WIDTH - GAP) / 2
        lines = labels[module].rsplit(".", 1)
        for up, words in enumerate(reversed(lines)):
            parts.append(svg.text(x, TOP - 8 - 12 * up, words, "label", "middle"))
    return parts


def _row_labels(rows: list[int | None]) -> list[str]:
    return [
        svg.text(LEFT - 10, TOP + i * CELL_HEIGHT + CELL_HEIGHT / 2 + 3, str(row), "label", "end")
        for i, row in enumerate(rows)
        if row is not None
    ]


def _key(layers: Sequence[LayerReport], scale: LinearScale, y: float) -> list[str]:
    """The shade's legend; each factorized layer is a tick on it, break-even a full line."""
    steps = 40
    width = (scale.end - scale.start) / steps
    shades = [
        svg.rectangle(scale.start + i * width, y, width, 8, "shade step", opacity=(i + 0.5) / steps)
        for i in range(steps)
    ]
    ticks = [
        svg.line(scale(kept_share(layer)), y + 11, scale(kept_share(layer)), y + 16, "layer-tick")
        for layer in layers
        if layer.rank is not None
    ]
    even = scale(1.0)
    return [
        *shades,
        *ticks,
        svg.line(even, y - 5, even, y + 16, "break-even"),
        svg.text(scale.start, y + 29, "0 % kept", "label"),
        svg.text(even, y + 29, "break-even 100 %", "label", "end"),
    ]
