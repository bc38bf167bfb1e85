"""How thick drawn structures are, which tells how coarse a grid may be that still shows them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from statistics import median

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Slice = tuple[npt.NDArray[np.int16], tuple[float, float]]
"""A target ``(H, W)`` with IGNORE, and the mm that a voxel is long along both axes."""


def thinnest(slices: Iterable[Slice]) -> float | None:
    """Return how many mm the thinnest structure is across; None where none is drawn.

    A structure is as thick as the median, over the slices that show it, of the widest circle in it.
    """
    across: dict[int, list[float]] = defaultdict(list)
    for target, spacing in slices:
        for value, box in enumerate(ndimage.find_objects(np.maximum(target, 0)), start=1):
            if box is not None:
                across[value].append(_widest(target[box] == value, spacing))
    return min(map(median, across.values()), default=None)


def _widest(mask: npt.NDArray[np.bool_], spacing: tuple[float, float]) -> float:
    """Return the diameter in mm of the widest circle in ``(H, W)``."""
    inside = ndimage.distance_transform_edt(np.pad(mask, 1), sampling=spacing)
    return float(2 * inside.max() - min(spacing))
