import pytest

from core.planning.families import FAMILIES

SAME_MODULES = {"xlm-roberta", "camembert"}
"""As RoBERTa, under another name."""


@pytest.fixture(params=sorted(FAMILIES.keys() - SAME_MODULES))
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)
