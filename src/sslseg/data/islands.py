"""Islands: pieces of a prediction far smaller than the object, which nobody would have drawn."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from scipy import ndimage

SMALL = 0.1
"""Share of a class's largest connected piece below which another one is an island."""

ENOUGH = 3
"""So many slices must show the object in one piece before other pieces count as mistakes."""


def expected(slices: Iterable[npt.NDArray[np.bool_]]) -> bool:
    """Tell whether predictions may well have islands, from the foreground ``(H, W)`` of slices.

    They may, unless at least three slices show something, and each of these one connected piece
    (by faces): where organs or lesions lie apart, nothing is known of how unlike in size they are.
    """
    shown = 0
    for foreground in slices:
        count = int(ndimage.label(foreground)[1])
        if count > 1:
            return True
        shown += count
    return shown < ENOUGH


def without_islands(labels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return labels ``(X, Y, Z)`` with small islands erased.

    Connected pieces of all foreground stay if they hold at least a tenth of what the richest piece
    holds of any one class: so no class vanishes, and none is cut out of another.
    """
    pieces, count = ndimage.label(labels > 0)
    if count < 2:
        return labels
    keep = np.zeros(count + 1, bool)
    keep[0] = True
    for value in np.unique(labels[labels > 0]):
        found = np.bincount(pieces[labels == value], minlength=count + 1)
        keep |= found >= SMALL * found.max()
    return np.where(keep[pieces], labels, 0).astype(np.uint8)
