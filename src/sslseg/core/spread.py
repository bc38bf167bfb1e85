"""How far a figure may be off, and how to say so."""

from __future__ import annotations

import math
from collections.abc import Sequence

FEW = 4
"""Fewer slices than this say so beside the figure."""

KNOWN = "known volumes"
"""Said of a Dice on held-out slices where other slices of the same volumes teach."""

SOURCE = "source only"
"""Said of a Dice on held-out slices where a target is adapted to, and none of them is of it."""

PARTIAL = "{count} partly labelled"
"""Said of a Dice on held-out slices where what is unpainted counts for nothing: it flatters."""

NOT_OF_TARGET = "These slices are of the source: they tell nothing of the target."
UNFAIR = (
    "Unequal: one of them goes on from more trainings than the other; "
    "Start anew (--fresh) compares both from the beginning."
)


def jackknife(without: Sequence[float | None]) -> float | None:
    """Return the standard error of a figure from its values with each item left out in turn.

    ``sqrt((n - 1) / n * sum((t_i - mean(t))^2))`` (Efron, 1982); for a mean it equals the
    standard deviation over the square root of n. None for fewer than two items, or where one
    of the values is undefined.
    """
    values = [value for value in without if value is not None]
    count = len(values)
    if count < 2 or count < len(without):
        return None
    center = sum(values) / count
    return math.sqrt((count - 1) / count * sum((value - center) ** 2 for value in values))


def mean_and_error(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Return the mean and its standard error, each None where it cannot be told."""
    count, total = len(values), sum(values)
    if count < 2:
        return (total if count else None), None
    return total / count, jackknife([(total - value) / (count - 1) for value in values])


def with_error(value: float | None, error: float | None, slices: int, note: str = "") -> str:
    """Return a Dice with its uncertainty, such as "Dice 0.81 ± 0.03 (n = 6)"; a note follows n."""
    if value is None:
        return f"Dice undefined (n = {slices})"
    spread = "?" if error is None else f"{error:.2f}"
    count = f"{'only ' if slices < FEW else ''}n = {slices}"
    return f"Dice {value:.2f} ± {spread} ({', '.join(filter(None, (count, note)))})"
