"""Secrets of projects in the database: encrypted, in clear only while they are used."""

import base64
import hashlib
from typing import Literal

from cryptography.fernet import Fernet, InvalidToken

from core.secret_file import secret_in
from core.settings import Settings

SECRET_FILE = "secret-key"

Purpose = Literal["hub token", "webhook secret"]
"""Each has a key of its own, made from the one secret."""


def encrypt(text: str, purpose: Purpose, settings: Settings) -> str:
    return _fernet(purpose, settings).encrypt(text.encode()).decode()


def decrypt(encrypted: str, purpose: Purpose, settings: Settings) -> str | None:
    """None for what was encrypted under another key or for another purpose."""
    try:
        return _fernet(purpose, settings).decrypt(encrypted.encode()).decode()
    except InvalidToken:
        return None


def _fernet(purpose: Purpose, settings: Settings) -> Fernet:
    """Fernet wants 32 bytes in base64; the configured key may be any text."""
    digest = hashlib.sha256(f"rankwise {purpose}\n".encode() + _secret(settings)).digest()
    return Fernet(base64.urlsafe_b64encode(digest))


def _secret(settings: Settings) -> bytes:
    """The configured key, or one made in data_dir by whichever process needs it first."""
    if settings.secret_key:
        return settings.secret_key.encode()
    return secret_in(settings.data_dir / SECRET_FILE)
