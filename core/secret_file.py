"""Secrets that no setting names: made once, in a file of the owner's alone."""

import os
import secrets
import tempfile
from pathlib import Path

SECRET_BYTES = 32


def secret_in(path: Path) -> bytes:
    """The file's content, made by whichever process needs it first."""
    if not path.exists():
        _make(path)
    return path.read_bytes()


def _make(path: Path) -> None:
    """Whole or not at all: of two processes at once, one's file stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-") as draft:
        draft.write(secrets.token_bytes(SECRET_BYTES))
        draft.flush()
        os.fsync(draft.fileno())
        try:
            os.link(draft.name, path)
        except FileExistsError:
            return
