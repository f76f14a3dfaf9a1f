"""report.html: one page drawn from the report."""

from core.compression.export.templating import render
from core.reporting.intervals import changes_svg, intervals_svg
from core.reporting.latency import latency_svg, speed_in_words, timings
from core.reporting.layer_names import layer_titles
from core.reporting.layer_tables import layer_rows, pruning_rows
from core.reporting.numbers import change_unit, compact, grouped, metric_title, percent
from core.reporting.rank_map import rank_map_svg
from core.reporting.report import Report
from core.reporting.result import PHASE_TITLES
from core.reporting.spectra import spectrum_svg
from core.reporting.stylesheet import STYLESHEET
from core.reporting.tables import (
    candidate_rows,
    change_in_words,
    fact_rows,
    factor_in_words,
    metric_rows,
    size_rows,
    value_in_words,
)

WORDS = {
    "change_in_words": change_in_words,
    "change_unit": change_unit,
    "compact": compact,
    "factor_in_words": factor_in_words,
    "grouped": grouped,
    "metric_title": metric_title,
    "percent": percent,
    "phase_titles": PHASE_TITLES,
    "speed_in_words": speed_in_words,
    "value_in_words": value_in_words,
}
"""How the templates write numbers."""


def render_report(report: Report) -> str:
    """One self-contained page: no script, no foreign host, light and dark."""
    result = report.result
    return render(
        "report.html.jinja",
        report=report,
        result=result,
        headline=report.headline,
        stylesheet=STYLESHEET,
        size_rows=size_rows(result),
        metric_rows=metric_rows(result),
        candidate_rows=candidate_rows(report.plan),
        layer_rows=layer_rows(report.layers),
        pruning_rows=pruning_rows(result),
        fact_rows=fact_rows(report.facts),
        intervals=intervals_svg(report.headline),
        changes=changes_svg(report.headline),
        rank_map=rank_map_svg(report.layers),
        titles=layer_titles(layer.name for layer in report.layers),
        spectra={layer.name: spectrum_svg(layer) for layer in report.layers},
        latency=latency_svg(timings(result.latency)) if result.latency else None,
        **WORDS,
    )
