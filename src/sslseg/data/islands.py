"""Islands: pieces of a prediction far smaller than the object, which nobody would have drawn."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

SMALL = 0.1
"""Share of the largest connected piece below which another one is an island."""


def sizes(foreground: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
    """Return the voxels of each connected piece (by faces) of ``(*S)`` bool, largest first."""
    pieces, count = ndimage.label(foreground)
    found = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
    return np.asarray(np.sort(found)[::-1], np.intp)


def has_islands(foreground: npt.NDArray[np.bool_]) -> bool:
    """Tell whether a mask ``(*S)`` has a piece smaller than a tenth of its largest."""
    found = sizes(foreground)
    return bool(found.size and found[-1] < SMALL * found[0])


def without_islands(labels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return labels ``(X, Y, Z)`` with small islands of foreground, all classes as one, erased."""
    pieces, count = ndimage.label(labels > 0)
    if count < 2:
        return labels
    found = np.bincount(pieces.ravel())
    found[0] = 0
    keep = found >= SMALL * found.max()
    keep[0] = True
    return np.where(keep[pieces], labels, 0).astype(np.uint8)
