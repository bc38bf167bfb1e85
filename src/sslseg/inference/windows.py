"""How many windows a prediction takes: known before it begins."""

from __future__ import annotations

import math
from collections.abc import Sequence

OVERLAP = 0.25
"""Share of a window that its neighbour sees too."""


def count(shape: Sequence[int], patch: Sequence[int], axis: int | None) -> int:
    """Return how many windows cover a volume, as MONAI lays them.

    Parameters
    ----------
    shape : sequence of int
        ``(X, Y, Z)``.
    patch : sequence of int
        Of a window: ``(H, W)`` or ``(X, Y, Z)``.
    axis : int or None
        The slice axis of a 2.5-D plan, each of whose slices has windows of its own; None in 3-D.
    """
    sides = [side for each, side in enumerate(shape) if each != axis]
    layers = 1 if axis is None else shape[axis]
    return layers * math.prod(len(starts(*pair)) for pair in zip(sides, patch, strict=True))


def starts(side: int, length: int) -> list[int]:
    """Return where windows of `length` begin along a side of a volume, as MONAI lays them."""
    if side <= length:
        return [0]
    step = max(1, int(length * (1 - OVERLAP)))
    last = math.ceil((side - length) / step)
    return [min(index * step, side - length) for index in range(last + 1)]


def reach(patch: Sequence[int], axis: int | None, across: int) -> int:
    """Return how long a window is along the axis `across`, which is not the slice axis."""
    return patch[[each for each in range(3) if each != axis].index(across)]


def layer(shape: Sequence[int], across: int, index: int, length: int) -> tuple[slice, ...]:
    """Return the box of up to `length` voxels along `across` that has slice `index` in the middle.

    At the border of the volume the slice is not in the middle; the box is as long all the same.
    """
    start = min(max(0, index - length // 2), max(0, shape[across] - length))
    box = [slice(0, side) for side in shape]
    box[across] = slice(start, min(start + length, shape[across]))
    return tuple(box)
