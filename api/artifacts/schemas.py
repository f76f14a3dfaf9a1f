from datetime import datetime
from typing import Literal
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict

from core.database.tables import Artifact

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
