"""What the service's sources say, read off their syntax trees."""

import ast
from collections.abc import Iterator

from tests.packaging.pages import ROOT

SOURCES = [path for part in ("api", "core", "worker") for path in (ROOT / part).rglob("*.py")]
TREES = [ast.parse(path.read_text(encoding="utf-8")) for path in sorted(SOURCES)]


def nodes() -> Iterator[ast.AST]:
    for tree in TREES:
        yield from ast.walk(tree)


def text_of(node: ast.AST | None) -> set[str]:
    constant = isinstance(node, ast.Constant) and isinstance(node.value, str)
    return {node.value} if constant else set()  # type: ignore[union-attr]


def calls_of(name: str) -> list[ast.Call]:
    return [
        node
        for node in nodes()
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == name
    ]


def given_to(name: str, keyword: str | None = None) -> set[str]:
    """Texts that calls of this name get, first of all or by keyword."""
    if keyword is None:
        return set().union(*(text_of(call.args[0]) for call in calls_of(name) if call.args))
    given = [each.value for call in calls_of(name) for each in call.keywords if each.arg == keyword]
    return set().union(*map(text_of, given))
