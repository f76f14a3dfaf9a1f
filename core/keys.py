"""API keys, ``rw_<id>_<32 random bytes>_<checksum>``. A key is shown once; its SHA-256 is stored.

The checksum lets a mistyped or made-up key be refused before any look at the database.
"""

import hashlib
import hmac
import re
import secrets
import zlib
from dataclasses import dataclass
from typing import Literal

Scope = Literal["read", "submit", "admin"]

SCOPES: tuple[Scope, ...] = ("read", "submit", "admin")
"""Each implies those before it."""

_TOKEN = re.compile(r"rw_([0-9a-f]{16})_[0-9a-f]{64}_([0-9a-f]{8})", re.ASCII)


@dataclass(frozen=True)
class Key:
    """A well-formed key, whether or not anyone issued it."""

    id: str
    """What it is looked up by: key_<16 hexadecimal digits>."""
    sha256: str
    """What is stored and compared."""


def generate() -> str:
    """A new key, to be shown to its owner once."""
    body = f"rw_{secrets.token_hex(8)}_{secrets.token_hex(32)}"
    return f"{body}_{_checksum(body)}"


def parse(token: str) -> Key | None:
    """The key in a bearer token, or None when it cannot be one of ours."""
    match = _TOKEN.fullmatch(token)
    if match is None or _checksum(token[: match.start(2) - 1]) != match[2]:
        return None
    return Key(id=f"key_{match[1]}", sha256=hashlib.sha256(token.encode()).hexdigest())


def matches(key: Key, stored_sha256: str) -> bool:
    """Whether this is the key whose digest is stored, in constant time."""
    return hmac.compare_digest(key.sha256, stored_sha256)


def implied(scopes: list[Scope]) -> frozenset[Scope]:
    """The scopes that a key holds, those implied by its widest one included."""
    widest = max((SCOPES.index(scope) for scope in scopes), default=-1)
    return frozenset(SCOPES[: widest + 1])


def _checksum(body: str) -> str:
    return f"{zlib.crc32(body.encode()):08x}"
