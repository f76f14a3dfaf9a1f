"""Data in memory, read and tokenized as a run would."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from core.compression.tasks.data import Data
from core.compression.tasks.examples import Examples
from core.compression.tasks.kind import TaskKind
from core.compression.tasks.registry import task_kind
from core.compression.tasks.rows import source_rows
from core.recipe.sources import PathDataset
from core.recipe.task import Task, TextClassification
from tests.compression.tiny_models import tiny_tokenizer

DATASET = PathDataset(path="rows.jsonl")
SINGLE: TaskKind[Any] = task_kind(TextClassification(dataset=DATASET, max_length=16))


def read(config: Task, rows: Iterable[Mapping[str, Any]]) -> Data:
    """One table of these rows."""
    return task_kind(config).read(source_rows({"": rows}, config.splits))


def tokenized(
    config: Task, rows: Iterable[Mapping[str, Any]], tokenizer: Any, names: tuple[str, ...] = ()
) -> Examples:
    """All of these rows, in their order."""
    data = read(config, rows)
    label_names = names or data.label_names
    return task_kind(config).tokenize(data, np.arange(len(data)), label_names, tokenizer)


def classified(rows: Iterable[Mapping[str, Any]], folder: Path) -> Examples:
    """Single texts with one label each, at most 16 tokens long."""
    return tokenized(SINGLE.config, rows, tiny_tokenizer(folder))
