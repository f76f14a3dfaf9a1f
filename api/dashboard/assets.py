"""The pages' own CSS and JavaScript, addressed by content so that browsers may keep them."""

import hashlib
from dataclasses import dataclass
from importlib.resources import files

from core.reporting.stylesheet import STYLESHEET

MEDIA_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
KEPT = "public, max-age=31536000, immutable"
"""An address names one content for ever."""


@dataclass(frozen=True)
class Asset:
    name: str
    content: bytes

    @property
    def media_type(self) -> str:
        return MEDIA_TYPES[self.name.rsplit(".", 1)[1]]

    @property
    def address(self) -> str:
        digest = hashlib.sha256(self.content).hexdigest()[:16]
        return f"/dashboard/static/{self.name}?v={digest}"


def _own(name: str) -> Asset:
    return Asset(name, files("api.dashboard").joinpath("static", name).read_bytes())


ASSETS = {
    asset.name: asset
    for asset in (
        Asset("drawings.css", STYLESHEET.encode()),
        _own("dashboard.css"),
        _own("live.js"),
        _own("icon.svg"),
    )
}
