"""Signed links: whoever has one may read one file of one artifact, for a while, without a key."""

import json
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import quote, urlencode

from fastapi import Query

from api.problems import Problem
from api.signing import Signer

Given = Annotated[str | None, Query(max_length=100, description="Of a signed link.")]


@dataclass(frozen=True)
class SignedLink:
    """The part of a link's address behind the `?`, as it was sent."""

    epoch: Given = None
    expires: Given = None
    signature: Given = None


def signed_path(signer: Signer, job_id: str, name: str, epoch: int, expires: int) -> str:
    """The address of a file's bytes, good until `expires` (seconds since 1970)."""
    signature = signer.signature("artifact-link", _content(job_id, name, str(epoch), str(expires)))
    query = urlencode({"epoch": epoch, "expires": expires, "signature": signature})
    return f"/v1/jobs/{job_id}/artifacts/{quote(name)}/content?{query}"


def linked_epoch(signer: Signer, job_id: str, name: str, link: SignedLink, now: float) -> int:
    """The attempt whose file the link is for; 403 for a link that is over or was altered."""
    epoch, expires = link.epoch or "", link.expires or ""
    content = _content(job_id, name, epoch, expires)
    if not signer.agrees("artifact-link", content, link.signature or ""):
        raise Problem("link_refused", "the link is not as it was given out")
    if now >= int(expires):
        raise Problem("link_refused", "the link is over; ask for another one")
    return int(epoch)


def _content(job_id: str, name: str, epoch: str, expires: str) -> str:
    """As JSON, so that no two links have the same text."""
    return json.dumps([job_id, name, epoch, expires])
