"""One column while its rows go by: its type, missing values, label counts and lengths."""

import re
from collections import Counter
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from core.data.values import Scalar, Value

ScalarType = Literal["string", "integer", "number", "boolean", "mixed", "empty"]
ColumnType = Literal[
    "string",
    "integer",
    "number",
    "boolean",
    "mixed",
    "empty",
    "list<string>",
    "list<integer>",
    "list<number>",
    "list<boolean>",
    "list<mixed>",
    "list<empty>",
    "object",
]

PREVIEW_ROWS = 5
PREVIEW_CHARACTERS = 1000
PREVIEW_ITEMS = 100
MAX_EXAMPLES = 3
MAX_DISTINCT = 1000
MAX_COUNTED = 100
MAX_LABEL_CHARACTERS = 256
MAX_OBJECT_NAMES = 100
LENGTH_EDGES = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
INTEGER = re.compile(r"[+-]?[0-9]{1,40}")
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


class LengthBin(BaseModel):
    model_config = ConfigDict(frozen=True)

    up_to: int | None
    """Characters of a text or items of a list, inclusive; None is open-ended."""
    rows: int


class ColumnSummary(BaseModel):
    model_config = ConfigDict(frozen=True)

    name: str
    type: ColumnType
    """Of a csv: what every non-empty cell could be read as."""
    missing: int = 0
    """Rows where it is null, or an empty text."""
    distinct: int | None = None
    """Different values, of a list its items'; None beyond 1,000, or where they are too long."""
    examples: list[Value] = []
    counts: dict[str, int] | None = None
    """How often each value or item is there, where at most 100 differ."""
    lengths: list[LengthBin] | None = None
    """How long the texts or lists are, for columns of type string or list."""
    members: dict[str, ColumnType] | None = None
    """The lists that a column of type object holds."""

    @property
    def one_value(self) -> str | None:
        """The one value that all rows share."""
        return (
            next(iter(self.counts)) if self.counts is not None and len(self.counts) == 1 else None
        )


class ColumnTally:
    """What is counted of one column while its rows go by."""

    def __init__(self, from_text: bool):
        self.missing = 0
        self.examples: list[Value] = []
        self.scalars = _ScalarTally(from_text)
        self.items = _ScalarTally(from_text)
        self.members: dict[str, _ScalarTally] = {}
        self.kinds: set[str] = set()
        self.lengths: Counter[int | None] = Counter()

    def add(self, value: Value) -> None:
        if value is None or value == "":
            self.missing += 1
            return
        if isinstance(value, dict):
            self._add_object(value)
        elif isinstance(value, list):
            self._add_list(value)
        else:
            self._add_scalar(value)
        if len(self.examples) < MAX_EXAMPLES:
            self._show(shortened(value))

    def _show(self, example: Value) -> None:
        if example not in self.examples:
            self.examples.append(example)

    def _add_scalar(self, value: Scalar) -> None:
        self.kinds.add("scalar")
        self.scalars.add(value)
        if isinstance(value, str):
            self.lengths[_length_bin(len(value))] += 1

    def _add_list(self, items: list[Scalar]) -> None:
        self.kinds.add("list")
        self.items.add_all(items)
        self.lengths[_length_bin(len(items))] += 1

    def _add_object(self, value: dict[str, list[Scalar]]) -> None:
        self.kinds.add("object")
        for name, items in value.items():
            if name in self.members or len(self.members) < MAX_OBJECT_NAMES:
                self.members.setdefault(name, _ScalarTally(from_text=False)).add_all(items)

    def summary(self, name: str) -> ColumnSummary:
        type = self._type()
        counted = self.items if self.kinds == {"list"} else self.scalars
        plain = type != "object" and len(self.kinds) <= 1
        return ColumnSummary(
            name=name,
            type=type,
            missing=self.missing,
            distinct=counted.distinct if plain else None,
            examples=self.examples,
            counts=counted.few_counts if plain else None,
            lengths=self._histogram() if type == "string" or self.kinds == {"list"} else None,
            members=self._members() if type == "object" else None,
        )

    def _type(self) -> ColumnType:
        if self.kinds == {"object"}:
            return "object"
        if self.kinds == {"list"}:
            return list_of(self.items.type)
        return "mixed" if len(self.kinds) > 1 else self.scalars.type

    def _members(self) -> dict[str, ColumnType]:
        return {name: list_of(tally.type) for name, tally in self.members.items()}

    def _histogram(self) -> list[LengthBin]:
        return [LengthBin(up_to=edge, rows=self.lengths[edge]) for edge in (*LENGTH_EDGES, None)]


class _ScalarTally:
    """Types and counts of plain values: a column's, or those in its lists."""

    def __init__(self, from_text: bool):
        self.from_text = from_text
        self.types: set[ScalarType] = set()
        self.counts: Counter[str] | None = Counter()

    def add_all(self, items: list[Scalar]) -> None:
        for item in items:
            if item is not None:
                self.add(item)

    def add(self, value: Scalar) -> None:
        self.types.add(_type_of(value, self.from_text))
        if self.counts is None:
            return
        label = label_text(value)
        self.counts[label] += 1
        if len(self.counts) > MAX_DISTINCT or len(label) > MAX_LABEL_CHARACTERS:
            self.counts = None

    @property
    def type(self) -> ScalarType:
        """The one type that all values fit; any cell of a csv is a string if nothing narrower."""
        if not self.types:
            return "empty"
        if len(self.types) == 1:
            return next(iter(self.types))
        if self.types == {"integer", "number"}:
            return "number"
        return "string" if self.from_text else "mixed"

    @property
    def distinct(self) -> int | None:
        return None if self.counts is None else len(self.counts)

    @property
    def few_counts(self) -> dict[str, int] | None:
        if self.counts is None or len(self.counts) > MAX_COUNTED:
            return None
        return dict(self.counts.most_common())


def label_text(value: Scalar) -> str:
    """A label as a JSON document would write it: true, not True."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def shortened(value: Value) -> Value:
    """The value, its texts and lists cut to what a preview shows."""
    if isinstance(value, dict):
        names = list(value)[:MAX_OBJECT_NAMES]
        return {name: _cut_items(value[name]) for name in names}
    return _cut_items(value) if isinstance(value, list) else _cut_text(value)


def _cut_items(items: list[Scalar]) -> list[Scalar]:
    return [_cut_text(item) for item in items[:PREVIEW_ITEMS]]


def _cut_text(value: Scalar) -> Scalar:
    if isinstance(value, str) and len(value) > PREVIEW_CHARACTERS:
        return value[:PREVIEW_CHARACTERS] + "…"
    return value


def list_of(items: ScalarType) -> ColumnType:
    """The type of a column whose lists hold such items."""
    types: dict[ScalarType, ColumnType] = {
        "string": "list<string>",
        "integer": "list<integer>",
        "number": "list<number>",
        "boolean": "list<boolean>",
        "mixed": "list<mixed>",
        "empty": "list<empty>",
    }
    return types[items]


def _type_of(value: Any, from_text: bool) -> ScalarType:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    return _type_of_cell(str(value)) if from_text else "string"


def _type_of_cell(cell: str) -> ScalarType:
    if cell.lower() in {"true", "false"}:
        return "boolean"
    if INTEGER.fullmatch(cell):
        return "integer"
    return "number" if NUMBER.fullmatch(cell) else "string"


def _length_bin(length: int) -> int | None:
    return next((edge for edge in LENGTH_EDGES if length <= edge), None)
