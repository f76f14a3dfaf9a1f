import pytest
from rankwise import connection, downloads, events


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries come at once; how long they would wait is tested by itself."""
    for module in (connection, downloads, events):
        monkeypatch.setattr(module, "backoff", lambda attempt: 0.001)
