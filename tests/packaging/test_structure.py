"""The house: imports point one way, and every setting, method and event is documented."""

import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from core.recipe.events import Event
from core.recipe.methods import METHOD_CONFIGS
from core.recipe.pruning import Pruning
from core.recipe.refit import SequentialRefit
from core.recipe.training import CalibrationConfig, Finetune, TrainingConfig
from core.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
OF_PRUNING = sorted(set(Pruning.model_fields) - set(TrainingConfig.model_fields))


def test_imports_point_one_way() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [linter, "--no-cache"], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_every_setting_is_documented(name: str) -> None:
    assert f"`RANKWISE_{name.upper()}`" in (ROOT / "docs" / "settings.md").read_text()


@pytest.mark.parametrize("method", sorted(METHOD_CONFIGS))
def test_every_method_has_a_page(method: str) -> None:
    page = (ROOT / "docs" / "methods" / f"{method}.md").read_text()
    assert METHOD_CONFIGS[method].title in page


@pytest.mark.parametrize(
    ("page", "field"),
    [
        *(("methods/refit.md", name) for name in SequentialRefit.model_fields if name != "type"),
        *(("statistics.md", name) for name in CalibrationConfig.model_fields),
        *(("methods/lpaf.md", name) for name in OF_PRUNING),
    ],
)
def test_every_field_of_refit_calibration_and_pruning_is_documented(page: str, field: str) -> None:
    assert f"| `{field}` |" in (ROOT / "docs" / page).read_text()


@pytest.mark.parametrize("kind", get_args(get_args(Finetune)[0]), ids=lambda kind: kind.__name__)
def test_every_kind_and_field_of_training_is_documented(kind: type[BaseModel]) -> None:
    page = (ROOT / "docs" / "recovery.md").read_text()
    assert f'"type": "{kind.model_fields["type"].default}"' in page
    for field in set(kind.model_fields) - {"type"}:
        assert f"| `{field}` |" in page, field


@pytest.mark.parametrize(
    "event", [event.model_fields["type"].default for event in get_args(get_args(Event)[0])]
)
def test_every_event_is_documented(event: str) -> None:
    assert f"`{event}`" in (ROOT / "docs" / "events.md").read_text()
