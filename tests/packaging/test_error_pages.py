"""docs/errors.md and the sources: every code is on the page, and the page has no other."""

import ast
import re
from typing import get_args

import pytest
from pydantic_core.core_schema import ErrorType
from rankwise.errors import Exit

from api.problems import KINDS
from tests.packaging.pages import DOCS, tables
from tests.packaging.sources import given_to, nodes, text_of

PAGE = DOCS / "errors.md"
REQUESTS, JOBS, FIELDS = tables(PAGE)


def codes_of_classes() -> set[str]:
    """Class attributes `code` that have a value."""
    assigned = [
        each
        for node in nodes()
        if isinstance(node, ast.ClassDef)
        for each in node.body
        if isinstance(each, ast.Assign | ast.AnnAssign) and target_of(each) == "code"
    ]
    return set().union(*(text_of(each.value) for each in assigned))


def target_of(assigned: ast.Assign | ast.AnnAssign) -> str:
    target = assigned.target if isinstance(assigned, ast.AnnAssign) else assigned.targets[0]
    return ast.unparse(target)


def codes_of_objects() -> set[str]:
    """Members `code` of what is written out as a dict."""
    return {
        code
        for node in nodes()
        if isinstance(node, ast.Dict)
        for name, value in zip(node.keys, node.values, strict=True)
        if text_of(name) == {"code"}
        for code in text_of(value)
    }


def named(table: list[list[str]]) -> dict[str, list[str]]:
    return {row[0].strip("`"): row[1:] for row in table[1:]}


def test_every_refusal_has_a_row_with_its_status() -> None:
    written = {code: int(cells[0]) for code, cells in named(REQUESTS).items()}
    assert written == {code: kind.status for code, kind in KINDS.items()}


def test_every_refusal_in_the_sources_is_of_a_kind() -> None:
    raised = given_to("Problem")
    assert len(raised) > 25
    assert raised - set(KINDS) == set()


def test_every_way_a_job_fails_has_a_row() -> None:
    failures = codes_of_classes() | codes_of_objects() | given_to("RunFailed", "code")
    assert {"numerical_failure", "worker_crashed", "internal_error"} < failures
    assert set(named(JOBS)) == failures


def test_every_code_of_a_field_has_a_row() -> None:
    own = given_to("FieldError", "code") | given_to("PydanticCustomError")
    assert {"refused", "invalid"} < own
    assert set(named(FIELDS)) == own


def test_codes_said_to_be_pydantics_are() -> None:
    listed = PAGE.read_text(encoding="utf-8").partition("those\nof pydantic")[2].partition("## ")[0]
    codes = set(re.findall(r"`([a-z_]+)`", listed))
    assert len(codes) > 8
    assert codes <= set(get_args(ErrorType))


@pytest.mark.parametrize("table", [REQUESTS, JOBS, FIELDS])
def test_no_cell_is_empty_and_no_code_twice(table: list[list[str]]) -> None:
    assert all(cell for row in table[1:] for cell in row)
    assert len(named(table)) == len(table) - 1


def test_every_exit_code_of_the_client_has_a_row() -> None:
    [exits] = [table for table in tables(DOCS / "client.md") if table[0][0] == "exit code"]
    assert [int(row[0]) for row in exits[1:]] == [code.value for code in Exit]
