"""Every method's page begins with the same table, and what that table says is so."""

import re
from pathlib import Path

import pytest

from core.compression.factorization.registry import FACTORIZATIONS
from core.recipe.methods import METHOD_CONFIGS
from tests.packaging.pages import DOCS, ROOT, section, tables

METHODS = sorted(METHOD_CONFIGS)
PAGES = [*METHODS, "refit"]
ROWS = ["equation", "needs", "source", "basis", "use it", "measured here"]
REBUILT = {"kfac", "lpaf", "rankdyna", "refit"}
"""Of those the paper's text was not followed, or was not to be had."""
RESULTS = ROOT / "benchmarks" / "RESULTS.md"
CITED = re.compile(r"\(\[RESULTS\]\(\.\./\.\./benchmarks/RESULTS\.md#([\w-]+)\)\)")
KEPT = re.compile(r"\b(?:keep|at) 0\.\d+(?: and 0\.\d+)?")


def page_of(method: str) -> Path:
    return DOCS / "methods" / f"{method}.md"


def header(method: str) -> dict[str, str]:
    return {row[0]: row[1] for row in tables(page_of(method))[0][1:]}


def test_every_factorization_is_a_method_with_a_page() -> None:
    written = {page.stem for page in (DOCS / "methods").glob("*.md")} - {"index"}
    assert set(FACTORIZATIONS) == set(METHOD_CONFIGS)
    assert written == set(PAGES)


@pytest.mark.parametrize("method", PAGES)
def test_the_page_begins_with_the_table_that_all_have(method: str) -> None:
    assert list(header(method)) == ROWS
    assert all(header(method).values())


@pytest.mark.parametrize("method", PAGES)
def test_the_page_says_whether_the_paper_was_followed(method: str) -> None:
    basis = header(method)["basis"]
    assert basis.startswith("**REBUILT**" if method in REBUILT else "**READ**")
    assert ("Open were" in basis) == (method in REBUILT)


@pytest.mark.parametrize("method", METHODS)
def test_the_page_names_every_statistic_that_is_asked_for(method: str) -> None:
    config = METHOD_CONFIGS[method]()
    wide, tall = (config.required_statistics(*shape) for shape in ((4, 8), (8, 4)))
    named = set(re.findall(r"`([a-z]+_[a-z_]+|fisher)`", header(method)["needs"]))
    assert {statistic.value for statistic in wide | tall} <= named


@pytest.mark.parametrize("method", METHODS)
def test_the_page_names_the_paper_as_the_config_does(method: str) -> None:
    citation, source = METHOD_CONFIGS[method].citation, header(method)["source"]
    first, years = re.findall(r"\w+", citation)[0], re.findall(r"\b(?:19|20)\d\d\b", citation)
    assert [word for word in (first, *years) if word not in source] == []


@pytest.mark.parametrize("method", PAGES)
def test_the_numbers_are_those_of_the_results(method: str) -> None:
    """Each stands in a row of this method, in the section of RESULTS.md that is named behind it."""
    pieces = CITED.split(header(method)["measured here"])
    assert len(pieces) > 1
    for said, anchor in zip(pieces[::2], pieces[1::2], strict=False):
        rows = rows_of(
            "kfac" if method == "refit" else method, section(RESULTS, heading_of(anchor))
        )
        lost = re.findall(r"\d+\.\d+", KEPT.sub("", said))
        assert [number for number in lost if number not in numbers_of(rows)] == []


def rows_of(method: str, results: str) -> list[str]:
    return [line for line in results.splitlines() if re.match(rf"\|.*\b{method}\b", line)]


def numbers_of(rows: list[str]) -> set[str]:
    return {number for row in rows for number in re.findall(r"\d+\.\d+", row)}


def heading_of(anchor: str) -> str:
    headings = re.findall(r"^## (.+)$", RESULTS.read_text(encoding="utf-8"), re.M)
    found = {re.sub(r"[^\w\- ]", "", name.lower()).replace(" ", "-"): name for name in headings}
    return found[anchor]
