"""Slices as pictures, for reports and the demo; numpy alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sslseg.core.geometry import Array

Picture = npt.NDArray[np.uint8]

_MAGMA = ((0, 0, 4), (81, 18, 124), (183, 55, 121), (252, 137, 97), (252, 253, 191))
"""Five knots of the colour map; the rest is interpolated."""


def grey(slice_: Array) -> Picture:
    """Return an image slice ``(H, W)`` as ``(H, W, 3)``, from its 1st to its 99.5th percentile."""
    low, high = np.percentile(slice_, (1, 99.5))
    scaled = np.clip((slice_ - low) / max(float(high - low), 1e-6), 0, 1)
    return np.repeat((255 * scaled).round().astype(np.uint8)[..., None], 3, axis=-1)


def overlay(base: Picture, labels: Array, colors: Sequence[str]) -> Picture:
    """Return `base` ``(H, W, 3)`` with labels ``(H, W)`` in half-transparent class colours.

    Parameters
    ----------
    base : ndarray of uint8
        ``(H, W, 3)``.
    labels : ndarray of int
        ``(H, W)``; 0 shows `base`.
    colors : sequence of str
        ``"#rrggbb"`` of class 1, 2, ...
    """
    table = np.array([[0, 0, 0], *(list(bytes.fromhex(color[1:7])) for color in colors)])
    painted = (base.astype(int) + table[labels]) // 2
    return np.where((labels > 0)[..., None], painted, base).astype(np.uint8)


def heat(values: Array) -> Picture:
    """Return values in [0, 1], ``(H, W)``, as ``(H, W, 3)`` from black over purple to yellow."""
    knots = np.linspace(0, 1, len(_MAGMA))
    channels = [np.interp(values, knots, channel) for channel in zip(*_MAGMA, strict=True)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def side_by_side(panels: Sequence[Picture], zoom: int = 5) -> Picture:
    """Return axial panels ``(X, Y, 3)`` in a row as people look at them.

    Front is up and the patient's right is on the left; each voxel becomes `zoom` x `zoom` pixels.
    """
    turned = [panel[::-1, ::-1].transpose(1, 0, 2) for panel in panels]
    gap = np.zeros((turned[0].shape[0], 1, 3), np.uint8)
    row = [part for panel in turned for part in (panel, gap)][:-1]
    return np.concatenate(row, axis=1).repeat(zoom, axis=0).repeat(zoom, axis=1)
