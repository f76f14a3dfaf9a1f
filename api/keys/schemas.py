from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from api.moments import Moment
from core.database.tables import ApiKey
from core.keys import Scope
from core.recipe.config import Config

EXAMPLE = {
    "object": "api_key",
    "id": "key_9f86d081884c7d65",
    "name": "pipeline",
    "scopes": ["submit"],
    "created_at": "2026-05-04T09:30:00Z",
    "expires_at": None,
    "revoked_at": None,
    "last_used_at": "2026-05-04T10:12:00Z",
}
ISSUED_EXAMPLE = EXAMPLE | {
    "last_used_at": None,
    "key": f"rw_9f86d081884c7d65_{'0' * 64}_5c9f2d1e",
}


class ApiKeyCreate(Config):
    """A key to issue."""

    name: str = Field(default="", max_length=200)
    scopes: tuple[Scope, ...] = Field(min_length=1, max_length=3)
    """`submit` implies `read`, `admin` implies both."""
    expires_at: Moment | None = None
    """None: it lives until it is revoked."""


class ApiKeyView(BaseModel):
    """A key as it is listed: never the key itself."""

    model_config = ConfigDict(use_attribute_docstrings=True, title="ApiKey")

    object: Literal["api_key"] = "api_key"
    id: str
    name: str
    scopes: list[Scope]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    """To the minute."""

    @classmethod
    def of(cls, row: ApiKey) -> "ApiKeyView":
        return cls.model_validate(row, from_attributes=True)


class IssuedApiKey(ApiKeyView):
    """The answer to creating a key: the only time the key is shown."""

    model_config = ConfigDict(title="IssuedApiKey")

    key: str | None
    """Null in the replayed answer to an Idempotency-Key: keys are shown once."""
