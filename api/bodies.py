"""Reading a JSON body: bounded, of the right type, and validated strictly by the model itself."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Generic, NoReturn, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from api.pointers import Pointers, escaped
from api.problems import FieldError, Problem
from core.recipe import Recipe
from core.recipe.sweep import SweepSpec
from core.settings import Settings

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Received(Generic[Model]):
    content: Model
    sha256: str
    """Of the raw bytes: what an Idempotency-Key is tied to."""


class JsonBody(Generic[Model]):
    """A dependency that yields the body as `model`; declare it after the caller's."""

    def __init__(self, model: type[Model], *others: str, optional: bool = False):
        """`others`: media types beside application/json; `optional`: no body is `model()`."""
        self.model = model
        self.media_types = ("application/json", *others)
        self.optional = optional
        self.pointers = Pointers(model)
        self.refused_as = "invalid_recipe" if model in {Recipe, SweepSpec} else "invalid_body"

    async def __call__(self, request: Request) -> Received[Model]:
        if self.optional and not _has_body(request):
            return Received(self.model(), hashlib.sha256().hexdigest())
        _require_type(request, *self.media_types)
        settings: Settings = request.app.state.settings
        raw = await read_bounded(request, settings.max_body_bytes)
        _check_syntax(raw)
        return Received(self._validated(raw), hashlib.sha256(raw).hexdigest())

    def _validated(self, raw: bytes) -> Model:
        try:
            return self.model.model_validate_json(raw)
        except ValidationError as error:
            self._refuse(error)

    def _refuse(self, error: ValidationError) -> NoReturn:
        first = error.errors(include_url=False, include_input=False)[0]
        if first["type"] == "json_invalid":
            raise Problem("invalid_json", first["msg"])
        errors = self.pointers.errors(error)
        detail = "; ".join(f"{one.pointer or '(body)'}: {one.detail}" for one in errors)
        raise Problem(self.refused_as, detail, errors=errors)


async def read_bounded(request: Request, limit: int) -> bytes:
    """The body, given up as soon as it is known to be larger than `limit` bytes."""
    refuse_declared_length(request, limit)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise too_large(limit)
    return bytes(body)


def refuse_declared_length(request: Request, limit: int) -> None:
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > limit:
        raise too_large(limit)


def too_large(limit: int) -> Problem:
    return Problem("too_large", f"at most {limit} bytes are taken", headers={"Connection": "close"})


def _has_body(request: Request) -> bool:
    length = request.headers.get("content-length", "0").strip()
    return length != "0" or "transfer-encoding" in request.headers


def _require_type(request: Request, *expected: str) -> None:
    given = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if given not in expected:
        wanted = " or ".join(expected)
        raise Problem("unsupported_media_type", f"send {wanted}, not {given or 'nothing'}")


def _check_syntax(raw: bytes) -> None:
    """Refuse what is no JSON text, doubled names, and strings that no database column takes."""
    try:
        parsed = json.loads(raw.decode(), object_pairs_hook=_without_doubles)
        if b"\\u0000" in raw:
            _refuse_null_characters(parsed, "")
    except (ValueError, RecursionError) as error:
        raise Problem("invalid_json", str(error) or "nested too deeply") from None


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    for name, value in pairs:
        if name in seen:
            raise ValueError(f"the name {name!r} appears twice in one object")
        seen[name] = value
    return seen


def _refuse_null_characters(value: Any, pointer: str) -> None:
    members: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        members = list(value.items())
    elif isinstance(value, list):
        members = list(enumerate(value))
    for name, member in members:
        _refuse_null_characters(name, pointer)
        _refuse_null_characters(member, f"{pointer}/{escaped(name)}")
    if isinstance(value, str) and "\0" in value:
        error = FieldError(pointer=pointer, detail="holds a null character", code="null_character")
        raise Problem("invalid_body", f"{pointer}: holds a null character", errors=[error])
