from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from api.dependencies import Reader, Reading
from api.moments import Moment
from api.operations import READ_CODES, example
from api.problems import invalid_parameter, refusals
from api.usage import service
from api.usage.schemas import EXAMPLE, Usage
from core.database.tables import now

router = APIRouter(prefix="/v1/usage", tags=["usage"])

USUAL_SPAN = timedelta(days=30)

Start = Annotated[
    Moment | None, Query(alias="from", description="30 days before `to`, if not given.")
]
End = Annotated[Moment | None, Query(alias="to", description="Now, if not given.")]


def wanted_span(start: Start = None, end: End = None) -> service.Span:
    until = end or now()
    since = start or before(until)
    if since >= until:
        raise invalid_parameter("from", "does not lie before `to`", "an earlier time")
    return service.Span(since, until)


def before(until: datetime) -> datetime:
    try:
        return until - USUAL_SPAN
    except OverflowError:
        raise invalid_parameter("to", "lies in the first month of year 1", "a later time") from None


@router.get("", responses=example(EXAMPLE) | refusals(*READ_CODES))
def get_usage(
    caller: Reader, session: Reading, span: Annotated[service.Span, Depends(wanted_span)]
) -> Usage:
    """What the project did from `from` to before `to`, and the bytes that it stores now."""
    return service.usage(session, caller.project_id, span)
