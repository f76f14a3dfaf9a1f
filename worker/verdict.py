"""How an attempt came out, before it is written down."""

from dataclasses import dataclass
from typing import Any

from core.recipe.events import ArtifactReady


@dataclass(frozen=True)
class Succeeded:
    artifact: ArtifactReady
    result: dict[str, Any]


@dataclass(frozen=True)
class Failed:
    error: dict[str, Any]
    """{stage, code, message, hint, retryable, pointer}."""


@dataclass(frozen=True)
class StoodDown:
    """The runner stopped, or was ended, because it was asked to."""

    detail: str | None


@dataclass(frozen=True)
class Crashed:
    detail: str


@dataclass(frozen=True)
class PutOff:
    """Storage was away or full: nothing the job did."""

    detail: str


Verdict = Succeeded | Failed | StoodDown | Crashed | PutOff
