import pytest

from core.planning.families import FAMILIES
from tests.compression.family_models import SAME_MODULES


@pytest.fixture(params=sorted(FAMILIES.keys() - SAME_MODULES))
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)
