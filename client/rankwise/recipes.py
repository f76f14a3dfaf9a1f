"""Recipes from files: YAML 1.2's plain values, and the line that every field stands in.

PyYAML reads YAML 1.1, where `no` is false and `1e-4` a word. Here true and false are the only
booleans, and numbers are what JSON calls numbers. A recipe in JSON is YAML too.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from rankwise.errors import Json, Refused, UsageError, hint_of

PLAIN = {
    "tag:yaml.org,2002:bool": (re.compile(r"true|false"), "tf"),
    "tag:yaml.org,2002:null": (re.compile(r"null|~|"), ["n", "~", ""]),
    "tag:yaml.org,2002:int": (re.compile(r"-?(?:0|[1-9][0-9]*)"), "-0123456789"),
    "tag:yaml.org,2002:float": (
        re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?"),
        "-0123456789",
    ),
}


MAX_DROP = re.compile(r"([a-z][a-z0-9_]*)=([0-9]+(?:\.[0-9]+)?)")


class Plain(yaml.SafeLoader):
    """A SafeLoader with the values above, which refuses a name given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names: set[str] = set()
        for key, _ in node.value:
            if key.value in names:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key.value!r} is given twice", key.start_mark
                )
            names.add(key.value)
        return super().construct_mapping(node, deep)


Plain.yaml_implicit_resolvers = {}
for _tag, (_pattern, _first) in PLAIN.items():
    _whole = re.compile(rf"(?:{_pattern.pattern})\Z")
    Plain.add_implicit_resolver(_tag, _whole, list(_first))


def construct_number(loader: Plain, node: yaml.ScalarNode) -> float:
    return float(loader.construct_scalar(node))


Plain.add_constructor("tag:yaml.org,2002:float", construct_number)


@dataclass(frozen=True)
class RecipeFile:
    path: Path
    content: Json
    lines: dict[str, int]
    """By JSON pointer; of a name and its value the value's own, or where the name stands."""

    def line_of(self, pointer: str) -> int:
        """Of the field, or of the nearest one around it that is there."""
        while pointer and pointer not in self.lines:
            pointer = pointer.rpartition("/")[0]
        return self.lines.get(pointer, 1)

    def explain(self, refused: Refused) -> str:
        """The service's errors by file and line."""
        told = [
            f"{self.path}:{self.line_of(error.get('pointer') or '')}: "
            f"{dotted(error.get('pointer') or '')}{error['detail']}{hint_of(error)}"
            for error in refused.errors
        ]
        return "\n".join(told) or str(refused)


def read_recipe(path: Path) -> RecipeFile:
    """
    Raises:
        UsageError: no such file, or no mapping in YAML; names the line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {error}") from error
    try:
        node = yaml.compose(text, Loader=Plain)
        content = yaml.load(text, Loader=Plain)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = mark.line + 1 if mark else 1
        raise UsageError(f"{path}:{line}: {error.problem or error}") from error
    except yaml.YAMLError as error:
        raise UsageError(f"{path}: {error}") from error
    if not isinstance(content, dict) or node is None:
        raise UsageError(f"{path}:1: a recipe is a mapping of fields")
    return RecipeFile(path, content, dict(lines_of(node, "")))


def with_budget(
    file: RecipeFile, keep: float | None = None, max_drop: str | None = None
) -> RecipeFile:
    """The same recipe with a budget given beside it; unchanged where none is.

    Raises:
        UsageError: both are given, or `max_drop` is not METRIC=ABS.
    """
    if keep is not None and max_drop is not None:
        raise UsageError("--keep and --max-drop are two budgets; a recipe has one.")
    budget: Json | None = None
    if keep is not None:
        budget = {"type": "keep_ratio", "value": keep}
    elif max_drop is not None:
        found = MAX_DROP.fullmatch(max_drop)
        if found is None:
            raise UsageError(f"{max_drop!r} is no --max-drop: write accuracy=0.01")
        budget = {"type": "max_drop", "metric": found[1], "abs": float(found[2])}
    return file if budget is None else replace(file, content=file.content | {"budget": budget})


def lines_of(node: yaml.Node, pointer: str) -> Iterator[tuple[str, int]]:
    yield pointer, node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            below = f"{pointer}/{escaped(str(key.value))}"
            yield from lines_of(value, below)
            yield below, key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            yield from lines_of(value, f"{pointer}/{number}")


def escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def dotted(pointer: str) -> str:
    """/method/output_damping → "method.output_damping: "."""
    segments = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
    return f"{'.'.join(segments)}: " if segments else ""
