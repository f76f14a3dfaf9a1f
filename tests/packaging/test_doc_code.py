"""Code in the guide: Python compiles, YAML and JSON are read, and every recipe would be taken."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.recipe import Recipe
from core.recipe.sweep import SweepSpec
from tests.packaging.pages import Block, all_blocks, blocks

LANGUAGES = {"bash", "json", "python", "yaml", None}
"""Whose blocks are looked at; a fence that names another, or none, needs a check of its own."""


@pytest.mark.parametrize("block", all_blocks(), ids=str)
def test_code_is_what_it_says_it_is(block: Block) -> None:
    assert block.language in LANGUAGES
    if block.language == "python":
        compile(block.text, str(block), "exec")
    elif block.language == "yaml":
        check(yaml.safe_load(filled(block.text)))
    elif block.language == "json":
        check(json.loads(filled(block.text)))


def filled(text: str) -> str:
    """Where a page leaves out the rest of an id, or of a set."""
    filled_ids = re.sub(r"\b(ds|md|job)_01\w*…", lambda m: f"{m[1]}_{'0' * 26}", text)
    return filled_ids.replace("{…}", "{}")


def check(content: Any) -> None:
    """A whole recipe or sweep is one that the service takes; so is a part of a recipe."""
    if not isinstance(content, dict):
        return
    if {"model", "task", "budget"} <= content.keys():
        Recipe.model_validate_json(json.dumps(content))
    elif {"recipe", "budgets"} <= content.keys():
        SweepSpec.model_validate_json(json.dumps(content))
    elif content.keys() <= Recipe.model_fields.keys():
        Recipe.model_validate_json(json.dumps(WHOLE | content))


WHOLE = {
    "model": {"type": "path", "path": "/models/any"},
    "task": {"type": "text-classification", "dataset": {"type": "path", "path": "/data/any.csv"}},
    "budget": {"type": "keep_ratio", "value": 0.3},
}


@pytest.mark.parametrize(
    ("text", "language", "content"),
    [
        ("```toml\na = 1\n```", "toml", "a = 1\n"),
        ("~~~python\nx\n~~~", "python", "x\n"),
        ("````\nx\n````", "", "x\n"),
        ("- a list\n\n  ```python\n  x\n  ```", "python", "x\n"),
        ("1. a list\n   - in a list\n     ~~~ yaml\n     x: 1\n     ~~~", "yaml", "x: 1\n"),
        ("> ```json\n> {}\n> ```", "json", "{}\n"),
        ("text\n\n    make demo", None, "make demo\n"),
    ],
)
def test_no_block_hides(tmp_path: Path, text: str, language: str | None, content: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    [block] = blocks(page)
    assert (block.language, block.text.rstrip()) == (language, content.rstrip())
