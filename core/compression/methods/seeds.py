"""One seed per stage, so that stages skipped or taken from a cache shift no other's numbers."""

import hashlib


def stage_seed(seed: int, stage: str) -> int:
    digest = hashlib.sha256(f"{seed}/{stage}".encode()).digest()
    return int.from_bytes(digest[:4], "big")
