"""README.md: the model card."""

from core.compression.export.generated_code import (
    CONFIGURATION_FILE,
    MODELING_FILE,
    GeneratedNames,
)
from core.compression.export.report import WORDS
from core.compression.export.templating import render
from core.reporting.report import Report
from core.reporting.tables import metric_rows, size_rows


def render_card(report: Report, names: GeneratedNames) -> str:
    """Front matter and Markdown: what it is, how it was made, what it lost, how to load it."""
    return render(
        "README.md.jinja",
        report=report,
        result=report.result,
        headline=report.headline,
        names=names,
        modeling_file=MODELING_FILE,
        configuration_file=CONFIGURATION_FILE,
        size_rows=size_rows(report.result),
        metric_rows=metric_rows(report.result),
        **WORDS,
    )
