"""Every list as a table: `Accept: text/csv` on a GET under /v1 that answers a page of things.

A row is a thing; a field inside a field is a column of its own, `result.params.model.after`, and
what is a list stays JSON. A text that a spreadsheet would take for a formula gets an apostrophe.
"""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

from starlette.datastructures import URL, Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.pagination import link_to_next

CSV = "text/csv; charset=utf-8"
FORMULA = ("=", "+", "-", "@", "\t", "\r")


class CsvPages:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not _wants_a_table(scope):
            await self.app(scope, receive, send)
            return
        answer = _Answer(scope, send)
        await self.app(scope, receive, answer.hear)


def as_csv(rows: Sequence[dict[str, Any]]) -> str:
    """Columns in the order of their first mention."""
    flat = [dict(_leaves(row, "")) for row in rows]
    columns = list(dict.fromkeys(name for row in flat for name in row))
    written = io.StringIO()
    writer = csv.DictWriter(written, columns, restval="", lineterminator="\r\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in flat)
    return written.getvalue()


def _leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, f"{name}.{key}" if name else key)
    else:
        yield name, value


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(FORMULA) else value
    return json.dumps(value, ensure_ascii=False)


def _wants_a_table(scope: Scope) -> bool:
    if scope["type"] != "http" or scope["method"] != "GET" or not scope["path"].startswith("/v1/"):
        return False
    return "text/csv" in Headers(scope=scope).get("accept", "")


class _Answer:
    """What the app answers: JSON is held back until it is known what it is."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.scope, self.send = scope, send
        self.start: Message | None = None
        self.body = b""

    async def hear(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_json(message):
            self.start = message
        elif self.start is None:
            await self.send(message)
        else:
            self.body += message.get("body", b"")
            if not message.get("more_body", False):
                await self._send_whole(self.start)

    async def _send_whole(self, start: Message) -> None:
        content = json.loads(self.body)
        if content.get("object") == "list":
            self.body = as_csv(content["data"]).encode()
            headers = MutableHeaders(raw=list(start["headers"]))
            headers.update({"Content-Type": CSV, "Content-Length": str(len(self.body))})
            headers.update(link_to_next(URL(scope=self.scope), content["next_cursor"]))
            start = {**start, "headers": headers.raw}
        await self.send(start)
        await self.send({"type": "http.response.body", "body": self.body})


def _is_json(start: Message) -> bool:
    """A success; refusals have a type of their own."""
    content_type = Headers(raw=start["headers"]).get("content-type")
    return bool(start["status"] == 200 and content_type == "application/json")
