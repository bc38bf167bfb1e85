"""Seeds that follow from others: no two uses share a draw but by chance."""

from __future__ import annotations

import hashlib


def derived(seed: int, number: int, purpose: str) -> int:
    """Return a seed of 32 bits that follows from (seed, round, purpose) alone.

    Two sums of seed and round may be equal; two of these are not but by chance.
    """
    return _hashed(f"{seed}/{number}/{purpose}", 4)


def step_seed(seed: int, step: int) -> int:
    """Return a seed that follows from (seed, step) alone and spreads over 63 bits."""
    return _hashed(f"{seed}/{step}", 8) % (2**63 - 1)


def _hashed(words: str, size: int) -> int:
    return int.from_bytes(hashlib.blake2b(words.encode(), digest_size=size).digest(), "big")
