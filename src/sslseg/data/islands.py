"""Islands: pieces of a prediction far smaller than the object, which nobody would have drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from sslseg.core.geometry import Plane

SMALL, UNLIKE = 0.1, 0.5
"""Share of a class's largest connected piece below which another one is an island: usually, and
where slices of several planes show one piece alone. Two organs of a pair are more alike than that,
and what lies beside or behind an object shows in one plane or the other."""

ENOUGH = 3
"""So many slices must show the object in one piece before other pieces count as mistakes; in each
of two planes, before larger ones do."""


def share(slices: Iterable[tuple[Plane, npt.NDArray[np.bool_]]]) -> float:
    """Return below which share of a class's largest piece others are islands; 0: none is.

    The foreground ``(H, W)`` of complete slices tells. None is, unless at least three slices show
    something, and each of these one connected piece (by faces): where organs or lesions lie apart,
    nothing is known of how unlike in size they are.
    """
    shown: Counter[Plane] = Counter()
    for plane, foreground in slices:
        count = int(ndimage.label(foreground)[1])
        if count > 1:
            return 0.0
        shown[plane] += count
    if shown.total() < ENOUGH:
        return 0.0
    return UNLIKE if sum(count >= ENOUGH for count in shown.values()) > 1 else SMALL


def without_islands(labels: npt.NDArray[np.uint8], small: float) -> npt.NDArray[np.uint8]:
    """Return labels ``(X, Y, Z)`` with islands erased.

    Connected pieces of all foreground stay if they hold at least the share `small` of what the
    richest piece holds of any one class: so no class vanishes, and none is cut out of another.
    """
    if small == 0:
        return labels
    pieces, count = ndimage.label(labels > 0)
    if count < 2:
        return labels
    keep = np.zeros(count + 1, bool)
    keep[0] = True
    for value in np.unique(labels[labels > 0]):
        found = np.bincount(pieces[labels == value], minlength=count + 1)
        keep |= found >= small * found.max()
    return np.where(keep[pieces], labels, 0).astype(np.uint8)
