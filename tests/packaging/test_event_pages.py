"""Events of a job, what webhooks tell, and settings: the guide has all of them, and no other."""

import ast
import re
from typing import get_args

from api.dashboard.jobs.rendering import EVENT_TYPES
from core.database.states import JobState
from core.recipe.events import Event
from core.settings import Settings
from core.webhooks.announcing import TEST, Kind
from tests.packaging.pages import DOCS, tables
from tests.packaging.sources import calls_of, text_of

OF_THE_RUN = {event.model_fields["type"].default for event in get_args(get_args(Event)[0])}


def of_the_service() -> set[str]:
    """What core.jobs appends to a history beside the run's own events."""
    written = (node for call in calls_of("append") for node in ast.walk(call))
    named = set().union(*map(text_of, written))
    return {name for name in named if re.fullmatch(r"job\.[a-z]+", name)} | {
        f"job.{state}" for state in JobState
    }


def quoted(page: str, pattern: str) -> set[str]:
    return set(re.findall(rf"`({pattern})`", (DOCS / page).read_text(encoding="utf-8")))


def test_every_event_that_the_service_records_is_on_the_page() -> None:
    assert {"job.pausing", "job.changed"} < of_the_service()
    assert quoted("events.md", r"job\.[a-z]+") == of_the_service()


def test_no_event_on_the_page_is_gone() -> None:
    [table] = tables(DOCS / "events.md")
    assert {row[0].strip("`") for row in table[1:]} == OF_THE_RUN


def test_a_page_of_the_dashboard_hears_every_event() -> None:
    assert set(EVENT_TYPES) == OF_THE_RUN | of_the_service()


def test_every_message_of_a_webhook_is_on_its_page() -> None:
    assert quoted("webhooks.md", r"(?:job|webhook)\.[a-z]+") == {*get_args(Kind), TEST}


def test_no_setting_on_the_page_is_gone() -> None:
    rows = [row[0] for table in tables(DOCS / "settings.md") for row in table[1:]]
    documented = {name for row in rows for name in re.findall(r"`RANKWISE_([A-Z0-9_]+)`", row)}
    assert documented == {name.upper() for name in Settings.model_fields}
