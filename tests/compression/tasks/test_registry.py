"""One file, one config, one page section, one snippet for every task."""

from pathlib import Path
from typing import get_args

import pytest

from core.compression.export.card import PIPELINE_TAGS
from core.compression.tasks.registry import TASK_KINDS
from core.planning.generic import HEADLESS
from core.recipe.task import Task
from core.reporting.numbers import metric_title
from tests.compression.tasks.tiny_tasks import CONFIGS, tiny_task

ROOT = Path(__file__).resolve().parents[3]


def test_every_task_of_a_recipe_has_its_kind_and_its_tag() -> None:
    types = {config.model_fields["type"].default for config in get_args(Task)}
    assert types == set(TASK_KINDS) == set(PIPELINE_TAGS)


@pytest.mark.parametrize("task", TASK_KINDS)
def test_every_task_is_documented_with_its_metric_and_its_class(task: str, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "tasks.md").read_text()
    section = page.split(f"## `{task}`\n")[1].split("\n## ")[0]
    kind = tiny_task(task, tmp_path).kind
    assert metric_title(kind.headline).lower() in section.lower()
    assert kind.auto_class in section
    for field in CONFIGS[task].column_fields():
        assert f"`{field}`" in section


@pytest.mark.parametrize("task", TASK_KINDS)
def test_models_without_a_head_are_those_that_planning_names_so(task: str) -> None:
    assert (TASK_KINDS[task].auto_class == "AutoModel") == (task in HEADLESS)
