"""Identifiers: a prefix that names the noun, and a ULID, so that ids sort by time."""

import secrets
import time

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
LENGTH = 26
RANDOM_BITS = 80


def new_id(prefix: str) -> str:
    """``job_`` and 26 characters: 48 bits of milliseconds, then 80 random bits, in base 32."""
    milliseconds = time.time_ns() // 1_000_000
    number = milliseconds << RANDOM_BITS | secrets.randbits(RANDOM_BITS)
    digits = (ALPHABET[number >> 5 * place & 31] for place in reversed(range(LENGTH)))
    return f"{prefix}_{''.join(digits)}"


def made_at(identifier: str) -> float:
    """When `new_id` made it, in seconds since 1970; ValueError for what it did not make."""
    number = 0
    for digit in identifier.rpartition("_")[2]:
        number = number << 5 | ALPHABET.index(digit)
    return (number >> RANDOM_BITS) / 1000
