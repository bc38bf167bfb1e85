"""The seeds within a replay: repetitions share no draw, arms of one seed share them all."""

from __future__ import annotations

import hashlib


def derived(seed: int, number: int, purpose: str) -> int:
    """Return a seed of 32 bits that follows from (seed, round, purpose) alone.

    Two sums of seed and round may be equal; two of these are not but by chance.
    """
    digest = hashlib.blake2b(f"{seed}/{number}/{purpose}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big")
