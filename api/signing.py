"""HMAC-SHA-256 under the service's secret."""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import Depends

from api.dependencies import CurrentSettings
from core.secret_file import secret_in
from core.settings import Settings

Purpose = Literal["session", "form", "sign-in", "artifact-link"]


@dataclass(frozen=True)
class Signer:
    """A signature serves one purpose only."""

    secret: bytes

    def signature(self, purpose: Purpose, text: str) -> str:
        return hmac.new(self.secret, f"{purpose}\n{text}".encode(), hashlib.sha256).hexdigest()

    def agrees(self, purpose: Purpose, text: str, signature: str) -> bool:
        """Compared in constant time."""
        expected = self.signature(purpose, text)
        return hmac.compare_digest(expected.encode(), signature.encode())


def current_signer(settings: CurrentSettings) -> Signer:
    return Signer(session_secret(settings))


CurrentSigner = Annotated[Signer, Depends(current_signer)]


def session_secret(settings: Settings) -> bytes:
    """The configured secret, or one made in data_dir by whichever process needs it first."""
    if settings.session_secret:
        return settings.session_secret.encode()
    return secret_in(settings.data_dir / "session-secret")
