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

PIPELINE_TAGS = {
    "text-classification": "text-classification",
    "regression": "text-classification",
    "token-classification": "token-classification",
    "question-answering": "question-answering",
    "causal-lm": "text-generation",
    "embedding": "feature-extraction",
}
"""What the model hub calls each task."""


def render_card(report: Report, names: GeneratedNames) -> str:
    """Front matter and Markdown: what it is, how it was made, what it lost, how to load it."""
    return render(
        "README.md.jinja",
        report=report,
        result=report.result,
        headline=report.headline,
        pipeline_tag=PIPELINE_TAGS[report.recipe.task.type],
        names=names,
        modeling_file=MODELING_FILE,
        configuration_file=CONFIGURATION_FILE,
        size_rows=size_rows(report.result),
        metric_rows=metric_rows(report.result),
        **WORDS,
    )
