"""A project's token for its hub: encrypted in the database, in clear only while it is used."""

import base64
import hashlib

import structlog
from cryptography.fernet import Fernet, InvalidToken
from sqlalchemy import select
from sqlalchemy.orm import Session

from core.database.tables import HubToken
from core.secret_file import secret_in
from core.settings import Settings

SECRET_FILE = "secret-key"

log = structlog.get_logger(__name__)


def encrypt(token: str, settings: Settings) -> str:
    return _fernet(settings).encrypt(token.encode()).decode()


def project_token(session: Session, project_id: str, settings: Settings) -> str | None:
    """The project's token in clear; None where it has none that this service can read."""
    query = select(HubToken.encrypted).where(HubToken.project_id == project_id)
    encrypted = session.scalar(query)
    if encrypted is None:
        return None
    try:
        return _fernet(settings).decrypt(encrypted.encode()).decode()
    except InvalidToken:
        log.warning("hub_token.unreadable", project_id=project_id, hint="RANKWISE_SECRET_KEY")
        return None


def _fernet(settings: Settings) -> Fernet:
    """Fernet wants 32 bytes in base64; the configured key may be any text."""
    digest = hashlib.sha256(b"rankwise hub token\n" + _secret(settings)).digest()
    return Fernet(base64.urlsafe_b64encode(digest))


def _secret(settings: Settings) -> bytes:
    """The configured key, or one made in data_dir by whichever process needs it first."""
    if settings.secret_key:
        return settings.secret_key.encode()
    return secret_in(settings.data_dir / SECRET_FILE)
