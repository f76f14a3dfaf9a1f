from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from core.recipe.config import Config

EXAMPLE = {"object": "hub_token", "is_set": True, "created_at": "2026-05-04T09:30:00Z"}


class HubTokenSet(Config):
    """A token to store."""

    token: str = Field(pattern=r"^[\x21-\x7e]{1,512}$", repr=False)
    """As the hub gave it; it is encrypted, and never shown again."""


class HubToken(BaseModel):
    """Whether the project has a token for its hub: never the token itself."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    object: Literal["hub_token"] = "hub_token"
    is_set: bool
    created_at: datetime | None
    """Since when; null where none is set."""
