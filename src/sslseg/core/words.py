"""Small words that screen and command line share."""

from __future__ import annotations


def counted(number: int, thing: str) -> str:
    """Return a number of things, such as "1 slice" or "1,200 steps"."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
