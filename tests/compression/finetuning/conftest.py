from pathlib import Path

import pytest

from core.compression.tasks.examples import Examples
from tests.compression.finetuning.trainings import NAMES
from tests.compression.tasks.reading import classified
from tests.compression.tiny_models import save_classifier, sentences


@pytest.fixture
def examples(tmp_path: Path) -> Examples:
    return classified(sentences(60), tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_classifier(tmp_path / "model", NAMES)
