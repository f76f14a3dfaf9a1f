"""docs/data.md says what the code does."""

import re
from pathlib import Path
from typing import get_args

import pytest

import core
from core.data import parquet_footer
from core.data.columns import LENGTH_EDGES, MAX_COUNTED, ColumnType
from core.data.confined import MAX_CPU_S, MAX_MEMORY_BYTES
from core.data.lines import MAX_HEADER_BYTES, MAX_RECORD_BYTES
from core.data.tables import SUFFIXES, TableFormat
from core.data.values import MAX_COLUMNS, MAX_ITEMS, MAX_NAME_CHARACTERS
from core.recipe.named_tasks import expanded
from core.recipe.sources import HubDataset
from core.recipe.splits import NamedSplits
from core.recipe.task import NamedTask, Task, TaskName, TextClassification

DOCS = Path(core.__file__).parent.parent / "docs"
PAGE = (DOCS / "data.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", get_args(TaskName))
def test_every_named_task_has_its_line(name: TaskName) -> None:
    (line,) = re.findall(rf"^\| `{name}` \|.*$", PAGE, re.MULTILINE)
    _, type, dataset, columns, splits, metric = [
        cell.strip() for cell in line.strip("|").split("|")
    ]
    task = expanded(NamedTask(name=name))
    assert type == f"`{task.type}`"
    assert dataset == said_of(task.dataset)
    used = [getattr(task, field) for field in task.column_fields()]
    assert columns == ", ".join(f"`{column}`" for column in used if column is not None)
    assert isinstance(task.splits, NamedSplits)
    assert splits.split(" / ") == [
        f"`{task.splits.train}`",
        f"`{task.splits.validation}`" if task.splits.validation else "a tenth of it",
        f"`{task.splits.test}`",
    ]
    assert metric == metric_of(task)


def said_of(dataset: object) -> str:
    assert isinstance(dataset, HubDataset)
    said = f"`{dataset.id}`"
    said += f", `{dataset.config}`" if dataset.config else ""
    return said + (f" at `{dataset.revision}`" if dataset.revision else "")


def metric_of(task: Task) -> str:
    if isinstance(task, TextClassification):
        return f"`{task.metric}`"
    return {
        "regression": "Pearson and Spearman",
        "token-classification": "entity-level F1",
        "question-answering": "exact match and F1",
        "causal-lm": "perplexity",
    }[task.type]


def test_every_format_and_column_type_is_named() -> None:
    named = [*get_args(TableFormat), *SUFFIXES, *get_args(ColumnType)]
    assert [name for name in named if f"`{name}`" not in PAGE] == []


def test_every_task_is_named() -> None:
    types = {kind.model_fields["type"].default for kind in get_args(Task)}
    assert [name for name in types if f"`{name}`" not in PAGE] == []


def test_the_limits_are_those_of_the_code() -> None:
    text = " ".join(PAGE.split())
    for said in (
        f"at most {MAX_COLUMNS:,} columns with names of at most {MAX_NAME_CHARACTERS} characters",
        f"at most {MAX_RECORD_BYTES >> 20} MiB long",
        f"a csv's first line {MAX_HEADER_BYTES >> 20} MiB",
        f"a list has at most {MAX_ITEMS:,} items",
        f"the footer is at most {parquet_footer.MAX_FOOTER_BYTES >> 20} MiB",
        f"at most {parquet_footer.MAX_GROUP_BYTES >> 30} GiB unpacked",
        f"a file at most {parquet_footer.MAX_UNPACKED_BYTES >> 30} GiB",
        f"{parquet_footer.MAX_ROWS:,} rows",
        f"{parquet_footer.FREE_ROWS:,} and {parquet_footer.ROWS_PER_BYTE} for each of its bytes",
        f"with {MAX_MEMORY_BYTES >> 30} GiB of memory and {MAX_CPU_S // 60} minutes of CPU time",
        f"where at most {MAX_COUNTED} differ",
        f"up to {LENGTH_EDGES[0]}, {LENGTH_EDGES[1]}, … {LENGTH_EDGES[-1]:,} and more",
    ):
        assert said in text
