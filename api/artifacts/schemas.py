from datetime import datetime
from typing import Literal
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field

from core.database.tables import Artifact
from core.recipe.config import Config

EXAMPLE = {
    "object": "artifact",
    "name": "model.safetensors",
    "bytes": 61129728,
    "sha256": "0f343b0931126a20f133d67c2b018a3b5e1f0b6f6f8b8f2d3c1a9e7d5b4c3a21",
    "created_at": "2026-05-04T09:36:11Z",
    "links": {
        "content": "/v1/jobs/job_01jt0v4c2m8e0t7q5yz3h1kx9b/artifacts/model.safetensors/content"
    },
}


LINK_EXAMPLE = {
    "object": "artifact_link",
    "url": "http://127.0.0.1:8000/v1/jobs/job_01jt0v4c2m8e0t7q5yz3h1kx9b/artifacts/"
    f"model.safetensors/content?epoch=1&expires=1777887671&signature={'5c9f2d1e' * 8}",
    "expires_at": "2026-05-04T09:41:11Z",
}


class LinkWanted(Config):
    """How long a link is to be good for."""

    expires_s: int = Field(default=300, ge=1, le=3600)
    """Seconds from now."""


class ArtifactLink(BaseModel):
    """An address that needs no key, for one file and a short time."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    object: Literal["artifact_link"] = "artifact_link"
    url: str
    """For GET and HEAD. Whoever has it may read the file until then."""
    expires_at: datetime


class ArtifactFile(BaseModel):
    """One file of a job's artifact."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    object: Literal["artifact"] = "artifact"
    name: str
    """Path inside the artifact, with forward slashes."""
    bytes: int
    sha256: str
    created_at: datetime
    links: dict[str, str]

    @classmethod
    def of(cls, row: Artifact) -> "ArtifactFile":
        return cls(
            name=row.name,
            bytes=row.bytes,
            sha256=row.sha256,
            created_at=row.created_at,
            links={"content": f"/v1/jobs/{row.job_id}/artifacts/{quote(row.name)}/content"},
        )
