"""The guide's pages as a Markdown parser sees them."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
MARKDOWN = MarkdownIt("commonmark").enable("table")


class Block(NamedTuple):
    """Code on a page, however it is marked and however deep in a list it lies."""

    page: Path
    heading: str
    """The nearest one above."""
    line: int
    language: str | None
    """As the fence names it; None of indented code: commands, output, equations."""
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    def lines(self) -> list[str]:
        """Those that a backslash joins as one; of YAML, what its steps run."""
        text = self.text
        if self.language == "yaml":
            text = "\n".join(runs(yaml.safe_load(text)))
        return [line.strip() for line in text.replace("\\\n", " ").splitlines() if line.strip()]


def tokens_of(page: Path) -> list[Token]:
    return MARKDOWN.parse(page.read_text(encoding="utf-8"))


def blocks(page: Path) -> Iterator[Block]:
    heading = ""
    for token, after in pairwise([*tokens_of(page), Token("end", "", 0)]):
        if token.type == "heading_open":
            heading = after.content
        elif token.type in ("fence", "code_block"):
            assert token.map is not None
            language = token.info.strip() if token.type == "fence" else None
            yield Block(page, heading, token.map[0] + 1, language, token.content)


def all_blocks() -> list[Block]:
    return [block for page in PAGES for block in blocks(page)]


def runs(content: Any) -> Iterator[str]:
    """Every `run` of a workflow, wherever it stands."""
    below = content.values() if isinstance(content, dict) else content
    if isinstance(content, dict) and isinstance(content.get("run"), str):
        yield content["run"]
    if isinstance(content, dict | list):
        for value in below:
            yield from runs(value)


def code_spans(page: Path) -> Iterator[str]:
    for token in tokens_of(page):
        yield from (child.content for child in token.children or () if child.type == "code_inline")


def tables(page: Path) -> list[list[list[str]]]:
    """Rows of cells, as written, head first."""
    found: list[list[list[str]]] = []
    for token, after in pairwise(tokens_of(page)):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type in ("th_open", "td_open"):
            found[-1][-1].append(after.content)
    return found


def section(page: Path, heading: str) -> str:
    """What stands under a heading of the second level, up to the next."""
    text = page.read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2]
    assert text, heading
    return text.partition("\n## ")[0]
