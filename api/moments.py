"""Moments as callers send them: with an offset, and such that UTC can express them."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime


def in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("lies outside the years 1 to 9999") from None


Moment = Annotated[AwareDatetime, AfterValidator(in_utc)]
