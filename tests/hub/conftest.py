from collections.abc import Iterator

import pytest

from tests.hub.server import StandInHub


@pytest.fixture
def hub() -> Iterator[StandInHub]:
    """A hub on loopback with nothing on it yet."""
    with StandInHub() as hub:
        yield hub
