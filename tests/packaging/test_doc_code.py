"""Code in the guide: Python compiles, YAML and JSON are read, and every recipe would be taken."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.recipe import Recipe
from core.recipe.sweep import SweepSpec

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
BLOCKS = [
    pytest.param(language, block, id=f"{page.relative_to(ROOT)}-{number}")
    for page in PAGES
    for number, (language, block) in enumerate(BLOCK.findall(page.read_text(encoding="utf-8")))
]


@pytest.mark.parametrize(("language", "block"), BLOCKS)
def test_code_is_what_it_says_it_is(language: str, block: str) -> None:
    if language == "python":
        compile(block, "page", "exec")
    elif language == "yaml":
        check(yaml.safe_load(filled(block)))
    elif language == "json":
        check(json.loads(filled(block)))


def filled(block: str) -> str:
    """Where a page leaves out the rest of an id, or of a set."""
    filled_ids = re.sub(r"\b(ds|md|job)_01\w*…", lambda m: f"{m[1]}_{'0' * 26}", block)
    return filled_ids.replace("{…}", "{}")


def check(content: Any) -> None:
    """A whole recipe or sweep is one that the service takes."""
    if not isinstance(content, dict):
        return
    if {"model", "task", "budget"} <= content.keys():
        Recipe.model_validate_json(json.dumps(content))
    if {"recipe", "budgets"} <= content.keys():
        SweepSpec.model_validate_json(json.dumps(content))
