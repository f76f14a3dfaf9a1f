"""RFC 9110 byte ranges: one range is honoured; several, or nonsense, get the whole file."""

import re
from dataclasses import dataclass

from api.problems import Problem

ONE_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class Span:
    """Bytes start … stop − 1 of a file."""

    start: int
    stop: int

    @property
    def length(self) -> int:
        return self.stop - self.start


def requested_span(header: str | None, size: int) -> Span | None:
    """The part that a Range header asks for; None means the whole file."""
    match = ONE_RANGE.fullmatch(header or "")
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        return _satisfiable(Span(max(0, size - int(match[2])), size), size)
    if match[2] and int(match[2]) < int(match[1]):
        return None
    stop = min(size, int(match[2]) + 1) if match[2] else size
    return _satisfiable(Span(int(match[1]), stop), size)


def _satisfiable(span: Span, size: int) -> Span:
    if span.length <= 0:
        headers = {"Content-Range": f"bytes */{size}"}
        raise Problem("invalid_range", f"the file has {size} bytes", headers=headers)
    return span
