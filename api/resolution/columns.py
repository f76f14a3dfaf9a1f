"""What a task needs of its columns, held against what is known of the table's."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from core.data.columns import ColumnSummary
from core.data.tables import TableFormat
from core.errors import DataError
from core.recipe.splits import NamedSplits, SeededSplits
from core.recipe.task import (
    QuestionAnswering,
    Task,
    TextClassification,
    TextRegression,
    TokenClassification,
)

SPLIT_FIELDS = ("train", "validation", "test")
FEWEST_ROWS = 3
"""One for each split."""


class KnownTable:
    """A table's columns as an upload's check, its first rows or its footer show them."""

    def __init__(
        self,
        format: TableFormat,
        columns: Sequence[ColumnSummary],
        rows: int | None = None,
        unreadable: Mapping[str, DataError] = MappingProxyType({}),
        split_rows: int | None = None,
    ):
        self.format = format
        self.columns = {column.name: column for column in columns}
        self.rows = rows
        """None where not all rows were looked at."""
        self.unreadable = unreadable
        """Columns of types that no cell can hold, and why."""
        self.split_rows = split_rows
        """Of one split of a dataset that keeps them apart, where they are known."""

    @property
    def whole(self) -> bool:
        return self.rows is not None

    def rows_where(self, column: str | None, value: str) -> int | None:
        """How many rows have this value, where that is known."""
        known = self.columns.get(column or "")
        counts = None if known is None else known.counts
        return None if counts is None or not self.whole else counts.get(value, 0)


def check_table(task: Task, table: KnownTable) -> None:
    """Raises DataError at the task's field for what no run on this table could use."""
    for field in task.column_fields():
        name = getattr(task, field)
        if name is not None:
            _check_column(task, field, _column(table, name, f"/task/{field}"), table)
    _check_labels(task, table)
    if isinstance(task.splits, NamedSplits) and task.splits.column is not None:
        _check_named(task.splits, _column(table, task.splits.column, "/task/splits/column"), table)
    if table.rows is not None and table.rows < FEWEST_ROWS:
        raise DataError(
            f"the table has {table.rows} rows",
            hint="train, validation and test need one each",
            pointer="/task/dataset",
        )


def _column(table: KnownTable, name: str, pointer: str) -> ColumnSummary:
    if name in table.unreadable:
        error = table.unreadable[name]
        raise DataError(error.message, hint=error.hint, pointer=pointer)
    if name not in table.columns:
        raise DataError(
            f"the dataset has no column {name!r}",
            hint=f"its columns are {_names(table.columns)}",
            pointer=pointer,
        )
    return table.columns[name]


def _names(names: Sequence[str] | dict[str, ColumnSummary]) -> str:
    return ", ".join(map(repr, list(names)[:20]))


def _is_text(column: ColumnSummary, csv: bool) -> bool:
    return column.type == "string" or (csv and column.type in {"integer", "number", "boolean"})


def _is_label(column: ColumnSummary, csv: bool) -> bool:
    return column.type == "integer" or _is_text(column, csv)


def _is_number(column: ColumnSummary, csv: bool) -> bool:
    return column.type in {"integer", "number"}


def _is_words(column: ColumnSummary, csv: bool) -> bool:
    return column.type == "list<string>"


def _is_tags(column: ColumnSummary, csv: bool) -> bool:
    return column.type in {"list<string>", "list<integer>"}


def _is_answers(column: ColumnSummary, csv: bool) -> bool:
    members = column.members or {}
    texts = members.get("text") in {"list<string>", "list<empty>"}
    return texts and members.get("answer_start") in {"list<integer>", "list<empty>"}


Fits = Callable[[ColumnSummary, bool], bool]
TEXT: tuple[Fits, str] = (_is_text, "texts")
WANTED: dict[str, dict[str, tuple[Fits, str]]] = {
    TextClassification.__name__: {"label": (_is_label, "labels: texts or whole numbers")},
    TextRegression.__name__: {"label": (_is_number, "numbers")},
    TokenClassification.__name__: {
        "tokens": (_is_words, "lists of words"),
        "tags": (_is_tags, "lists of tags, texts or whole numbers"),
    },
    QuestionAnswering.__name__: {
        "answers": (_is_answers, 'answers: {"text": ["…"], "answer_start": [3]}')
    },
}
"""By task and field; every other field names texts."""


def _check_column(task: Task, field: str, column: ColumnSummary, table: KnownTable) -> None:
    fits, wanted = WANTED.get(type(task).__name__, {}).get(field, TEXT)
    csv = table.format == "csv"
    unseen = column.type == "empty" and not table.whole
    if fits(column, csv) or unseen:
        return
    fitting = [name for name, other in table.columns.items() if fits(other, csv)]
    raise DataError(
        f"the column {column.name!r} holds {_held(column)}, not {wanted}",
        hint=f"such columns are {_names(fitting)}" if fitting else _without_any(csv),
        pointer=f"/task/{field}",
    )


def _held(column: ColumnSummary) -> str:
    if column.type == "empty":
        return "nothing"
    if column.type == "object":
        return f"objects of {_names(list(column.members or {}))}"
    return f"values of type {column.type}"


def _without_any(csv: bool) -> str:
    lists = "; lists need a jsonl or parquet file" if csv else ""
    return f"the dataset has no such column{lists}"


def _check_labels(task: Task, table: KnownTable) -> None:
    """What only a task with one label a row asks."""
    if not isinstance(task, TextClassification | TextRegression) or task.label is None:
        return
    label = table.columns[task.label]
    if isinstance(task.splits, SeededSplits):
        _check_nothing_is_missing(task, table)
    if not table.whole or label.counts is None:
        return
    counts = _stripped(label.counts)
    if isinstance(task, TextClassification):
        _check_label_map(task, counts)
    if len(counts) == 1:
        raise DataError(
            f"the column {label.name!r} has the single value {next(iter(counts))!r}",
            hint="there is nothing to learn from fewer than two",
            pointer="/task/label",
        )
    if isinstance(task, TextClassification) and isinstance(task.splits, SeededSplits):
        _check_shares(counts, task.splits)


def _stripped(counts: dict[str, int]) -> Counter[str]:
    """As the runner reads labels: without the blanks around them."""
    stripped: Counter[str] = Counter()
    for label, count in counts.items():
        stripped[label.strip()] += count
    return stripped


def _check_label_map(task: TextClassification, counts: Counter[str]) -> None:
    unknown = next((label for label in task.label_map if label not in counts), None)
    if unknown is not None:
        raise DataError(
            f"no row has the label {unknown!r}",
            hint=f"the labels are {_names(list(counts))}",
            pointer="/task/label_map",
        )


def _check_nothing_is_missing(task: TextClassification | TextRegression, table: KnownTable) -> None:
    for field in task.column_fields():
        name = getattr(task, field)
        if name is not None and table.columns[name].missing:
            raise DataError(
                f"the column {name!r} is empty in {table.columns[name].missing} rows",
                hint="leave such rows out of the file",
                pointer=f"/task/{field}",
            )


def _check_shares(counts: Counter[str], splits: SeededSplits) -> None:
    """Every split must hold every label."""
    rarest = min(counts, key=lambda label: counts[label])
    if counts[rarest] < FEWEST_ROWS:
        raise DataError(
            f"the label {rarest!r} has {counts[rarest]} of the {FEWEST_ROWS} rows that it needs",
            hint="give it more rows, or leave it out of the file",
            pointer="/task/label",
        )
    for split in SPLIT_FIELDS:
        most = getattr(splits.max_rows, split)
        if most is not None and most < len(counts):
            raise DataError(
                f"{most} rows have no room for {len(counts)} labels",
                hint=f"allow at least {len(counts)}",
                pointer=f"/task/splits/max_rows/{split}",
            )


def _check_named(splits: NamedSplits, column: ColumnSummary, table: KnownTable) -> None:
    if column.counts is None or column.type.startswith("list"):
        raise DataError(
            f"the column {column.name!r} does not look like one of splits' names",
            hint="it has lists, long texts or more than 100 different values",
            pointer="/task/splits/column",
        )
    if not table.whole:
        return
    for field in SPLIT_FIELDS:
        name = getattr(splits, field)
        if name is not None and name not in column.counts:
            raise DataError(
                f"no row has {name!r} in the column {column.name!r}",
                hint=f"its values are {_names(list(column.counts))}",
                pointer=f"/task/splits/{field}",
            )
