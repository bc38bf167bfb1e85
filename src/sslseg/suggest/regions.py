"""Where on a slice the uncertainty lies, so that a suggestion can point at it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from sslseg.core.geometry import Plane

Boxes = npt.NDArray[np.int32]

STRONG = 0.5
"""Share of a slice's largest value from which a voxel belongs to a region."""


def heaviest_boxes(values: npt.NDArray[np.float32], plane: Plane) -> Boxes:
    """Return the box around the heaviest connected region of every slice.

    A region is a set of voxels of one slice that touch by a side or a corner and hold at least
    half of the slice's largest value; the heaviest has the largest sum.

    Parameters
    ----------
    values : ndarray of float32
        ``(X, Y, Z)``, at least 0.
    plane : Plane
        The slices to look at.

    Returns
    -------
    ndarray of int32
        ``(N, 4)``: top, bottom, left and right of each slice ``(H, W)`` in voxels, ends
        excluded; all 0 where a slice holds nothing.
    """
    stack = np.moveaxis(values, plane.axis, 0)
    peak = stack.max(axis=(1, 2), keepdims=True)
    inside_slices = np.zeros((3, 3, 3), bool)
    inside_slices[1] = True
    regions, count = ndimage.label((stack >= STRONG * peak) & (stack > 0), inside_slices)
    chosen = _heaviest(stack, regions, count)
    boxes = np.zeros((len(stack), 4), np.int32)
    for index, found in enumerate(ndimage.find_objects(chosen[regions], len(stack))):
        if found is not None:
            _, rows, columns = found
            boxes[index] = rows.start, rows.stop, columns.start, columns.stop
    return boxes


def pointing(boxes: Boxes, height: int, width: int) -> Boxes:
    """Return boxes ``(N, 4)`` without those around the whole slice: these point at nothing."""
    return np.where((boxes == (0, height, 0, width)).all(1, keepdims=True), 0, boxes)


def _heaviest(
    stack: npt.NDArray[np.float32], regions: npt.NDArray[np.int32], count: int
) -> npt.NDArray[np.int32]:
    """Return ``(count + 1,)``: 1 + the slice of each region that is its heaviest, 0 of others."""
    at = np.nonzero(regions)
    mass = np.bincount(regions[at], weights=stack[at], minlength=count + 1)
    home = np.zeros(count + 1, np.intp)
    home[regions[at]] = at[0]
    order = np.lexsort((mass[1:], home[1:])) + 1
    last = np.ones(count, bool)
    last[:-1] = home[order[1:]] != home[order[:-1]]
    chosen = np.zeros(count + 1, np.int32)
    chosen[order[last]] = home[order[last]] + 1
    return chosen
