"""The 2.5-D view of a volume: a slice with its neighbours as channels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def slab(
    image: npt.NDArray[np.float16], axis: int, index: int, context: int
) -> npt.NDArray[np.float32]:
    """Return slice `index` along `axis` with its neighbours.

    Parameters
    ----------
    image : ndarray
        ``(X, Y, Z)``.
    axis, index : int
        Which slice.
    context : int
        Odd number of slices, the asked one in the middle; edges are repeated.

    Returns
    -------
    ndarray of float32
        ``(context, H, W)``, the two other axes in RAS order.
    """
    offsets = np.arange(context) - context // 2
    chosen = np.clip(index + offsets, 0, image.shape[axis] - 1)
    moved = np.moveaxis(image, axis, 0)
    return np.ascontiguousarray(moved[chosen], dtype=np.float32)


def crop(
    array: npt.NDArray[np.generic], start: Sequence[int], size: Sequence[int], fill: float | str
) -> npt.NDArray[np.generic]:
    """Return the box of `size` at `start` over the last axes, padded where it leaves the array.

    Parameters
    ----------
    array : ndarray
        ``(..., *S)``.
    start, size : sequence of int
        The box on the last ``len(size)`` axes; `start` may be negative.
    fill : float or "edge"
        Value of voxels outside, or repeat the border.
    """
    lead = array.ndim - len(size)
    window: list[slice] = [slice(None)] * lead
    padding: list[tuple[int, int]] = [(0, 0)] * lead
    for begin, length, side in zip(start, size, array.shape[lead:], strict=True):
        low, high = max(begin, 0), min(begin + length, side)
        window.append(slice(low, high))
        padding.append((low - begin, begin + length - high))
    piece = array[tuple(window)]
    if not any(before or after for before, after in padding):
        return piece
    if fill == "edge":
        return np.pad(piece, padding, mode="edge")
    return np.pad(piece, padding, constant_values=fill)
