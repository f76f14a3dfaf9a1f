"""The refusals of core.jobs as the interface names them."""

from collections.abc import Iterator
from contextlib import contextmanager

from api.problems import FieldError, Problem, not_found
from core.jobs.errors import (
    FieldFixed,
    IllegalTransition,
    InUse,
    NotFound,
    QueueFull,
    SweepUnfinished,
)

ROOM_IN_S = 30
"""A full queue is worth asking again after this long."""


@contextmanager
def as_problems() -> Iterator[None]:
    """Around every request to core.jobs that may be refused."""
    try:
        yield
    except NotFound as error:
        raise not_found("job", error.job_id) from None
    except IllegalTransition as error:
        raise Problem(
            "illegal_transition", str(error), state=error.status, allowed=list(error.allowed)
        ) from None
    except FieldFixed as error:
        field = FieldError(pointer=f"/{error.field}", detail=str(error), code="field_fixed")
        raise Problem("field_fixed", str(error), errors=[field], state=error.state) from None
    except InUse as error:
        raise Problem("job_in_use", f"{error}; cancel it first") from None
    except SweepUnfinished as error:
        raise Problem("sweep_unfinished", f"{error}; cancel it first") from None
    except QueueFull as error:
        headers = {"Retry-After": str(ROOM_IN_S)}
        raise Problem("queue_full", str(error), headers=headers) from None
