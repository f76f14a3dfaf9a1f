"""A curl command as the request that it would make."""

import re
import shlex
from dataclasses import dataclass, field

ALONE = {"-s", "-S", "-f", "-L", "-N", "-O"}
HOST = re.compile(r"^(?:\$\w+|\$\{\w+\}|https?://[^/]+)(?=/)")


@dataclass
class Request:
    method: str = "GET"
    path: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    fields: list[str] = field(default_factory=list)
    """Of a form."""
    body: str = ""

    @property
    def has_body(self) -> bool:
        return bool(self.fields or self.body)

    @property
    def media_type(self) -> str:
        if self.fields:
            return "multipart/form-data"
        return self.headers.get("content-type", "application/x-www-form-urlencoded")


def parsed(line: str) -> Request:
    """
    Raises:
        ValueError: an option that is not known here: teach this function, do not skip it.
    """
    words = iter(shlex.split(line, comments=True)[1:])
    request, method = Request(), ""
    for word in words:
        match word:
            case "-H":
                name, _, value = next(words).partition(":")
                request.headers[name.strip().lower()] = value.strip()
            case "-F":
                request.fields.append(next(words).partition("=")[0])
            case "-d":
                request.body = next(words)
            case "-X":
                method = next(words)
            case "-I":
                method = "HEAD"
            case "-o":
                next(words)
            case _ if word in ALONE:
                pass
            case _ if not word.startswith("-") and not request.path:
                request.path = HOST.sub("", word).partition("?")[0]
            case _:
                raise ValueError(f"what does {word} do?")
    request.method = method or ("POST" if request.has_body else "GET")
    return request
