"""A time as pages show it."""

from dataclasses import dataclass
from datetime import datetime

from api.dashboard import words


@dataclass(frozen=True)
class Moment:
    """A time: for machines, for people, and as an age."""

    iso: str
    full: str
    age: str

    @classmethod
    def of(cls, then: datetime, now: datetime) -> "Moment":
        return cls(then.isoformat(timespec="seconds"), words.moment(then), words.age(then, now))
