"""Cursor pages: newest first or oldest first, stable while rows are added."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from fastapi import Depends, Query
from pydantic import BaseModel, Field
from sqlalchemy import Select, literal, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session
from starlette.datastructures import URL

from api.moments import in_utc
from api.problems import Problem
from core.database.tables import UtcDateTime

Item = TypeVar("Item")
Row = TypeVar("Row")

Order = Literal["desc", "asc"]


class Page(BaseModel, Generic[Item]):
    """One page of a list.

    Its field is described by `Field`: pydantic would search the docstrings of every `Page[Item]`
    anew, through all modules, which doubles the time that the service takes to start.
    """

    object: Literal["list"] = "list"
    data: list[Item]
    has_more: bool
    next_cursor: Annotated[
        str | None, Field(description="Give it as `after` to get the next page.")
    ]

    @classmethod
    def of(cls, data: Sequence[Item], next_cursor: str | None = None) -> "Page[Item]":
        return cls(data=list(data), has_more=next_cursor is not None, next_cursor=next_cursor)


@dataclass(frozen=True)
class PageRequest:
    """Which page is wanted; a dependency."""

    limit: Annotated[int, Query(ge=1, le=200, description="Rows on a page.")] = 20
    after: Annotated[
        str | None, Query(max_length=200, description="The previous page's `next_cursor`.")
    ] = None
    order: Annotated[Order, Query(description="By time of creation.")] = "desc"


Paging = Annotated[PageRequest, Depends()]


@dataclass(frozen=True)
class Rows(Generic[Row]):
    rows: Sequence[Row]
    next_cursor: str | None


def fetch(
    session: Session,
    query: Select[Row],
    created_at: InstrumentedAttribute[datetime],
    id: InstrumentedAttribute[str],
    wanted: PageRequest,
) -> Rows[Row]:
    """The page of `query`, ordered by (created_at, id), that starts behind the cursor."""
    descending = wanted.order == "desc"
    if wanted.after is not None:
        here, last = tuple_(created_at, id), _position(wanted.after)
        query = query.where(here < last if descending else here > last)
    ordering = (column.desc() if descending else column.asc() for column in (created_at, id))
    rows = session.scalars(query.order_by(*ordering).limit(wanted.limit + 1)).all()
    more, rows = len(rows) > wanted.limit, rows[: wanted.limit]
    cursor = encode(getattr(rows[-1], created_at.key), getattr(rows[-1], id.key)) if more else None
    return Rows(rows, cursor)


def link_to_next(url: URL, cursor: str | None) -> dict[str, str]:
    """The header of an answer that has no place for `next_cursor`."""
    if cursor is None:
        return {}
    following = url.include_query_params(after=cursor)
    return {"Link": f'<{following.path}?{following.query}>; rel="next"'}


def encode(created_at: datetime, id: str) -> str:
    content = json.dumps([created_at.isoformat(), id], separators=(",", ":"))
    return base64.urlsafe_b64encode(content.encode()).decode().rstrip("=")


def decode(cursor: str) -> tuple[datetime, str]:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        moment, id = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        created_at = in_utc(datetime.fromisoformat(moment))
    except (ValueError, TypeError):
        raise Problem("invalid_cursor", "take `after` from a page's next_cursor") from None
    if not isinstance(id, str) or "\0" in id:
        raise Problem("invalid_cursor", "take `after` from a page's next_cursor")
    return created_at, id


def _position(cursor: str) -> Any:
    created_at, id = decode(cursor)
    return tuple_(literal(created_at, UtcDateTime()), literal(id))
