"""The guide's pages as a Markdown parser sees them."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
MARKDOWN = MarkdownIt("commonmark").enable("table")


class Block(NamedTuple):
    """Code on a page, however it is marked and however deep in a list it lies."""

    page: Path
    line: int
    language: str
    """Empty where none is named: console output, equations, indented commands."""
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    for token in MARKDOWN.parse(page.read_text(encoding="utf-8")):
        if token.type in ("fence", "code_block"):
            assert token.map is not None
            yield Block(page, token.map[0] + 1, token.info.strip(), token.content)


def blocks_of_all(*languages: str) -> list[Block]:
    every = (block for page in PAGES for block in blocks(page))
    return [block for block in every if not languages or block.language in languages]


def tables(page: Path) -> list[list[list[str]]]:
    """Rows of cells, as written, head first."""
    found: list[list[list[str]]] = []
    tokens = MARKDOWN.parse(page.read_text(encoding="utf-8"))
    for token, after in pairwise(tokens):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif is_cell(token):
            found[-1][-1].append(after.content)
    return found


def is_cell(token: Token) -> bool:
    return token.type in ("th_open", "td_open")


def section(page: Path, heading: str) -> str:
    """What stands under a heading of the second level, up to the next."""
    text = page.read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2]
    assert text, heading
    return text.partition("\n## ")[0]
