"""The drawings are well-formed, put marks where the numbers are, and leave colours to the page."""

import re
import subprocess
import sys
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from core.recipe.events import LayerReport, MetricMeasured
from core.reporting.intervals import changes_svg, intervals_svg
from core.reporting.latency import Timing, latency_svg
from core.reporting.rank_map import rank_map_svg
from core.reporting.spectra import HEIGHT, WIDTH, cut_off_position, height_at, spectrum_svg
from core.reporting.stylesheet import STYLESHEET

SVG = "{http://www.w3.org/2000/svg}"


def layer(name: str, rank: int | None, size: int = 100, spectrum: tuple[float, ...] = ()):
    return LayerReport(
        name=name,
        out_features=size,
        in_features=size,
        rank=rank,
        params_before=size * size,
        params_after=size * size if rank is None else 2 * rank * size,
        spectrum=spectrum,
    )


LAYERS = (
    layer("bert.encoder.layer.0.attention.self.query", 10),
    layer("bert.encoder.layer.0.output.dense", 50),
    layer("bert.encoder.layer.1.attention.self.query", None),
    layer("bert.encoder.layer.1.output.dense", 80),
)
ACCURACY = (
    MetricMeasured(phase="dense", name="accuracy", value=0.9, interval=(0.88, 0.92), n=500),
    MetricMeasured(
        phase="finetuned",
        name="accuracy",
        value=0.89,
        interval=(0.87, 0.91),
        n=500,
        drop=0.01,
        drop_interval=(-0.002, 0.022),
    ),
)
DECAY = tuple(10.0**-i for i in range(5))
EVERY_DRAWING = {
    "rank map": rank_map_svg(LAYERS),
    "intervals": intervals_svg(ACCURACY),
    "changes": changes_svg(ACCURACY),
    "latency": latency_svg([Timing("dense", 20, (19, 21)), Timing("compressed", 10, (9, 11))]),
    "spectrum": spectrum_svg(layer("a.0.b", 30, spectrum=DECAY)),
    "dense spectrum": spectrum_svg(layer("a.0.b", None, spectrum=DECAY)),
    "no spectrum": spectrum_svg(layer("a.0.b", 30)),
    "zero spectrum": spectrum_svg(layer("a.0.b", 30, spectrum=(0.0, 0.0))),
    "one point": spectrum_svg(layer("a.0.b", 1, size=1, spectrum=(2.0,))),
}


def parse(drawing: str) -> ElementTree.Element:
    return ElementTree.fromstring(drawing)


def with_class(drawing: str, class_: str) -> list[ElementTree.Element]:
    return [e for e in parse(drawing).iter() if class_ in (e.get("class") or "").split()]


@pytest.mark.parametrize("name", EVERY_DRAWING)
def test_drawing_is_xml_with_a_label_and_no_colour_of_its_own(name: str) -> None:
    root = parse(EVERY_DRAWING[name])
    assert root.tag == f"{SVG}svg"
    assert root.findtext(f"{SVG}title")
    for element in root.iter():
        assert not {"fill", "stroke", "style", "id"} & set(element.keys())
    assert "nan" not in EVERY_DRAWING[name]


@pytest.mark.parametrize("name", EVERY_DRAWING)
def test_every_class_of_a_drawing_is_styled(name: str) -> None:
    used = {c for e in parse(EVERY_DRAWING[name]).iter() for c in (e.get("class") or "").split()}
    assert used <= set(re.findall(r"\.([a-z-]+)", STYLESHEET))


def test_rank_map_shades_by_share_kept_and_frames_dense_layers() -> None:
    drawing = rank_map_svg(LAYERS)
    shades = [
        float(e.get("fill-opacity", ""))
        for e in with_class(drawing, "shade")
        if "step" not in e.get("class", "")
    ]
    assert shades == [0.12, 0.62, 1.0], "20 %, 100 %, 160 % of the matrix, over the largest"
    assert len(with_class(drawing, "dense-cell")) == 1
    assert [e.text for e in with_class(drawing, "cell-text")] == ["10", "50", "dense", "80▴"]


def test_rank_map_puts_blocks_in_rows_and_modules_in_columns() -> None:
    cells = with_class(rank_map_svg(LAYERS), "cell-text")
    x, y = [float(e.get("x", "")) for e in cells], [float(e.get("y", "")) for e in cells]
    assert x[0] == x[2] < x[1] == x[3]
    assert y[0] == y[1] < y[2] == y[3]


def test_break_even_stands_at_the_whole_matrix() -> None:
    drawing = rank_map_svg((layer("a.0.b", 25), layer("a.1.b", 10)))
    (mark,) = with_class(drawing, "break-even")
    ticks = [float(e.get("x1", "")) for e in with_class(drawing, "layer-tick")]
    start = float(with_class(drawing, "step")[0].get("x", ""))
    assert (ticks[0] - start) / (float(mark.get("x1", "")) - start) == pytest.approx(0.5, abs=1e-3)


def test_spectrum_is_cut_at_its_rank() -> None:
    (cut,) = with_class(spectrum_svg(layer("a.0.b", 30, spectrum=DECAY)), "cut-off")
    assert float(cut.get("x1", "")) == pytest.approx(0.3 * WIDTH, abs=0.01)
    assert cut_off_position(layer("a.0.b", None)) == WIDTH


def test_spectrum_is_logarithmic() -> None:
    """A geometric decay is a straight line from the top to its share of six decades."""
    drawing = spectrum_svg(layer("a.0.b", 30, spectrum=DECAY))
    path = with_class(drawing, "curve")[0].get("d", "")
    points = [tuple(map(float, p.split())) for p in path.removeprefix("M").split("L")]
    steps = [b[1] - a[1] for a, b in pairwise(points)]
    assert steps == pytest.approx([(HEIGHT - 2.5) / 6] * 4, abs=0.02)
    assert height_at(points, WIDTH / 8) == pytest.approx((points[0][1] + points[1][1]) / 2)


def test_intervals_are_drawn_in_proportion() -> None:
    drawing = intervals_svg(ACCURACY)
    dots = [float(e.get("cx", "")) for e in with_class(drawing, "dot")]
    ends = [e for e in with_class(drawing, "whisker") if e.get("y1") == e.get("y2")]
    low, high = (float(ends[0].get(end, "")) for end in ("x1", "x2"))
    assert dots[0] == pytest.approx((low + high) / 2, abs=0.02)
    assert (dots[0] - dots[1]) / (high - low) == pytest.approx(0.01 / 0.04, abs=1e-3)
    (reference,) = with_class(drawing, "reference")
    assert float(reference.get("x1", "")) == dots[0]


def test_changes_are_drops_with_their_sign_turned() -> None:
    drawing = changes_svg(ACCURACY)
    assert [e.text for e in with_class(drawing, "value")] == ["−1.0"]
    dot = float(with_class(drawing, "dot")[0].get("cx", ""))
    assert dot < float(with_class(drawing, "reference")[0].get("x1", ""))
    assert "−2.2, +0.2" in drawing


def test_latency_bars_are_in_proportion() -> None:
    bars = [float(e.get("width", "")) for e in with_class(EVERY_DRAWING["latency"], "bar")]
    assert bars[0] == pytest.approx(2 * bars[1], abs=0.05)


def test_names_are_escaped() -> None:
    assert "<script" not in rank_map_svg((layer("<script>.0.x", 3),))


def test_reporting_needs_no_torch() -> None:
    check = (
        "import sys, pkgutil, importlib, core.reporting as r\n"
        "for found in pkgutil.iter_modules(r.__path__, 'core.reporting.'):\n"
        "    importlib.import_module(found.name)\n"
        "sys.exit(bool({'torch', 'transformers'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", check]).returncode == 0
