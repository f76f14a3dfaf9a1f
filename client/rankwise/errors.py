"""What can go wrong, and the exit code that a pipeline sees."""

from enum import IntEnum
from typing import Any

Json = dict[str, Any]


class Exit(IntEnum):
    DONE = 0
    TROUBLE = 1
    """The service cannot be reached, or what was downloaded is not what it should be."""
    USAGE = 2
    """What was asked is refused: a command's options, a recipe, a key."""
    FAILED = 3
    CANCELLED = 4
    TIMED_OUT = 5
    GATE_MISSED = 6


class RankwiseError(Exception):
    """A message for people; `exit_code` is for pipelines."""

    exit_code = Exit.TROUBLE


class Unreachable(RankwiseError):
    """No answer, after all retries."""


class Damaged(RankwiseError):
    """A download that is not what its digest says."""


class UsageError(RankwiseError):
    exit_code = Exit.USAGE


class TimedOut(RankwiseError):
    exit_code = Exit.TIMED_OUT


class Refused(RankwiseError):
    """The service's own problem+json."""

    exit_code = Exit.USAGE

    def __init__(self, status: int, problem: Json):
        self.status, self.problem = status, problem
        super().__init__(str(self))

    @property
    def code(self) -> str:
        return str(self.problem.get("code", ""))

    @property
    def errors(self) -> list[Json]:
        """One for each field: pointer or parameter, detail, perhaps a hint."""
        return list(self.problem.get("errors") or [])

    def __str__(self) -> str:
        lines = [self._headline()]
        for error in self.errors:
            where = error.get("pointer") or error.get("parameter") or "the whole body"
            lines.append(f"  {where}: {error['detail']}{hint_of(error)}")
        return "\n".join(lines)

    def _headline(self) -> str:
        title = self.problem.get("title") or f"HTTP {self.status}"
        detail = self.problem.get("detail")
        told = {error["detail"] for error in self.errors}
        return f"{title}: {detail}" if detail and detail not in told else str(title)


def hint_of(error: Json) -> str:
    hint = error.get("hint")
    return f" ({hint})" if hint else ""
