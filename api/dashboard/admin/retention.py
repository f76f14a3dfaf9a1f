"""The retention policy as a form, and what it would drop now as a table."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Form
from pydantic import ValidationError

from api.dashboard import words
from api.retention.schemas import RetentionPolicy, RetentionPreview, Stored
from core.jobs.retention import Policy

Days = Annotated[str, Form(max_length=10)]


@dataclass(frozen=True)
class Limit:
    """One line of the policy: the field, how long, and what has had its time."""

    field: str
    title: str
    note: str
    days: str
    """Empty is for ever."""
    due: str


def limits(policy: Policy, preview: RetentionPreview) -> Sequence[Limit]:
    return [
        Limit(
            "artifacts",
            "Artifacts",
            "a succeeded job’s files, from its end; its numbers stay",
            _days(policy.artifacts_days),
            _stored(preview.artifacts, "job"),
        ),
        Limit(
            "events",
            "Events",
            "a finished job’s history but for its changes of state",
            _days(policy.events_days),
            words.counted_of(preview.events.count, "event"),
        ),
        Limit(
            "workspaces",
            "Workspaces",
            "what a failed or cancelled job needs to go on where it stopped",
            _days(policy.workspaces_days),
            _stored(preview.workspaces, "folder"),
        ),
        Limit(
            "cache",
            "Cache",
            "adapted models and statistics, from their last use",
            _days(policy.cache_days),
            _stored(preview.cache, "entry"),
        ),
    ]


def read_policy(artifacts: Days, events: Days, workspaces: Days, cache: Days) -> Policy:
    """
    Raises:
        ValueError: a field is no number of days; told in words.
    """
    sent = {"artifacts": artifacts, "events": events, "workspaces": workspaces, "cache": cache}
    values = {f"{field}_days": _number(field, text) for field, text in sent.items() if text.strip()}
    try:
        return RetentionPolicy.model_validate(values).policy
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][0]).removesuffix("_days")
        raise ValueError(f"{field}: {first['msg']}") from None


def _number(field: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{field}: {text!r} is no number of days") from None


def _days(days: float | None) -> str:
    return "" if days is None else f"{days:g}"


def _stored(stored: Stored, unit: str) -> str:
    told = words.counted_of(stored.count, unit)
    return f"{told}, {' '.join(words.size(stored.bytes))}" if stored.count else told
