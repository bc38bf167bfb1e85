"""What a slice looks like in a few numbers, until a network's features take their place."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sslseg.core.geometry import Plane

BLOCKS = 4
"""An image slice is described by the means of 4 x 4 blocks."""

Features = npt.NDArray[np.float32]


def shape_features(labels: npt.NDArray[Any], plane: Plane) -> Features:
    """Describe where each slice lies and what is predicted on it.

    Parameters
    ----------
    labels : ndarray of int
        ``(X, Y, Z)``, 0 background.
    plane : Plane
        The slices to describe.

    Returns
    -------
    ndarray of float32
        ``(N, 4)``: place along the axis, square root of the predicted foreground's share, and its
        centre's row and column (the middle where there is none); all in [0, 1].
    """
    found = np.moveaxis(labels > 0, plane.axis, 0)
    number, height, width = found.shape
    rows, columns = found.sum(axis=2, dtype=np.float32), found.sum(axis=1, dtype=np.float32)
    size = rows.sum(axis=1)
    return np.stack(
        [
            (np.arange(number, dtype=np.float32) + 0.5) / number,
            np.sqrt(size / (height * width)),
            _centre(rows, size),
            _centre(columns, size),
        ],
        axis=1,
    ).astype(np.float32)


def look_features(image: npt.NDArray[Any], plane: Plane, count: int) -> Features:
    """Describe the intensities of each slice.

    Parameters
    ----------
    image : ndarray
        ``(X', Y', Z')``, z-scored; its grid may be finer or coarser than the case's own.
    plane : Plane
        The slices to describe.
    count : int
        N, the number of slices on the case's own grid.

    Returns
    -------
    ndarray of float32
        ``(N, 17)``: means of 4 x 4 blocks, and the standard deviation of the whole slice.
    """
    stack = np.moveaxis(image, plane.axis, 0)
    wanted = ((np.arange(count) + 0.5) * len(stack) / count).astype(int)
    rows = np.stack([_look(stack[index].astype(np.float32)) for index in range(len(stack))])
    return np.asarray(rows[wanted])


def _look(image: Features) -> Features:
    """Return the 17 numbers of one slice ``(H, W)``."""
    (rows, high), (columns, wide) = (_blocks(side) for side in image.shape)
    sums = np.add.reduceat(np.add.reduceat(image, rows, axis=0), columns, axis=1)
    return np.append(sums / np.outer(high, wide), image.std()).astype(np.float32)


def _blocks(side: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return where the blocks of a side begin and how long they are, at least one voxel."""
    starts = np.arange(BLOCKS) * side // BLOCKS
    return starts, np.maximum(np.diff(np.append(starts, side)), 1)


def _centre(profile: Features, size: Features) -> Features:
    places = (np.arange(profile.shape[1]) + 0.5) / profile.shape[1]
    centre = profile @ places / np.maximum(size, 1)
    return np.where(size > 0, centre, 0.5).astype(np.float32)
