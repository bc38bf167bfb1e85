"""Labels carried from annotated slices to one beside them, as a help for the hand.

No model is needed: a dense flow between neighbouring images (TV-L1; Zach, Pock and Bischof, DAGM
2007) says where each voxel came from. Errors grow with the distance, so it is an offer to correct.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sslseg.core.annotation import BACKGROUND, UNPAINTED

Labels = npt.NDArray[np.uint8]
Image = npt.NDArray[np.float32]
Window = tuple[slice, slice]

REACH = 8
"""How many slices away an annotated slice may be."""

MARGIN = 16
"""Voxels around the labels that the flow looks at."""

SIDE = 96
"""Longest side of the images that the flow is computed on; larger ones are thinned."""

UNSAID = 0.99
"""Vote for background of what is unpainted on a slice that is not complete: of two such slices that
disagree the one with a class is right."""

ATTACHMENT = 5.0
"""Weight of the data in the flow; smaller is smoother. On z-scored images."""


def propagate(image_from: npt.NDArray[Any], image_to: npt.NDArray[Any], labels: Labels) -> Labels:
    """Return the labels of one slice as they would lie on a neighbouring one.

    Parameters
    ----------
    image_from, image_to : ndarray
        ``(H, W)`` intensities of the labelled and of the other slice.
    labels : ndarray of uint8
        ``(H, W)`` of the first, 0 background.

    Returns
    -------
    ndarray of uint8
        ``(H, W)`` of the second.
    """
    return extend(np.stack([image_from, image_to]), {0: labels}, 1)


def extend(
    stack: npt.NDArray[Any],
    known: Mapping[int, Labels],
    index: int,
    partial: Collection[int] = (),
) -> Labels:
    """Return labels for a slice from the nearest annotated ones before and behind it.

    Labels go from slice to slice, so that each flow is small. Two sides are blended by distance:
    each votes with its memberships over the slices between.

    Parameters
    ----------
    stack : ndarray
        ``(N, H, W)`` intensities of parallel slices.
    known : mapping
        Slice number to its labels ``(H, W)`` uint8, 0 background. `index` itself is not looked at.
    index : int
        The slice to label.
    partial : collection of int
        Those of `known` that are not complete. What is unpainted there (0) counts for nothing
        beside a complete slice; painted background (`BACKGROUND`) does.

    Returns
    -------
    ndarray of uint8
        ``(H, W)``; all 0 where no annotated slice lies within `REACH`.
    """
    sides = nearest(known, index)
    result = np.zeros(stack.shape[1:], np.uint8)
    seen = {int(value) for side in sides for value in np.unique(known[side])}
    values = sorted(seen - {UNPAINTED, BACKGROUND})
    if not values:
        return result
    window = _window([known[side] for side in sides])
    votes = np.zeros((len(values) + 1, *result[window].shape), np.float32)
    alone = all(side in partial for side in sides)
    for side in sides:
        members = _memberships(known[side][window], values)
        if side in partial:
            members[0][known[side][window] == UNPAINTED] = UNSAID if alone else 0
        votes += _carried(stack, window, members, side, index) / abs(side - index)
    result[window] = np.array([0, *values], np.uint8)[votes.argmax(axis=0)]
    return result


def nearest(known: Mapping[int, Labels], index: int) -> list[int]:
    """Return the nearest known slices below and above `index` within `REACH`, if there are any."""
    near = [other for other in known if 0 < abs(other - index) <= REACH]
    below = [other for other in near if other < index]
    above = [other for other in near if other > index]
    return [*([max(below)] if below else []), *([min(above)] if above else [])]


def _window(labels: Sequence[Labels]) -> Window:
    """Return the part of a slice that holds all labels and a margin."""
    drawn = [(each != UNPAINTED) & (each != BACKGROUND) for each in labels]
    rows, columns = np.nonzero(np.any(drawn, axis=0))
    spans = [
        slice(max(0, int(at.min()) - MARGIN), int(at.max()) + 1 + MARGIN) for at in (rows, columns)
    ]
    return (spans[0], spans[1])


def _memberships(labels: Labels, values: Sequence[int]) -> Image:
    """Return ``(1 + values, H, W)`` in {0, 1}, background first, painted or not."""
    nothing = (labels == UNPAINTED) | (labels == BACKGROUND)
    return np.stack([nothing, *(labels == value for value in values)]).astype(np.float32)


def _carried(
    stack: npt.NDArray[Any], window: Window, members: Image, start: int, end: int
) -> Image:
    """Return memberships ``(C, H, W)`` of slice `start` carried to slice `end`."""
    step = 1 if end > start else -1
    images = {i: stack[i][window].astype(np.float32) for i in range(start, end + step, step)}
    middle, spread = _scale(list(images.values()))
    for index in range(start, end, step):
        before, after = ((images[i] - middle) / spread for i in (index, index + step))
        members = _warped(members, _flow(np.nan_to_num(before), np.nan_to_num(after)))
    return members


def _scale(images: Sequence[Image]) -> tuple[float, float]:
    """Return mean and standard deviation of the finite voxels, the latter at least tiny."""
    values = np.stack(images)
    finite = values[np.isfinite(values)]
    return (float(finite.mean()), max(float(finite.std()), 1e-6)) if finite.size else (0.0, 1.0)


def _flow(before: Image, after: Image) -> Image:
    """Return ``(2, H, W)``: how far from each voxel of `after` its like lies in `before`."""
    # Here and below, not above: 0.3 s that the viewer's start would wait for.
    from scipy import ndimage
    from skimage.registration import optical_flow_tvl1

    step = -(-max(before.shape) // SIDE)
    if min(before.shape) < 2 * step:
        return np.zeros((2, *before.shape), np.float32)
    small = [ndimage.uniform_filter(image, step)[::step, ::step] for image in (after, before)]
    found = optical_flow_tvl1(*small, attachment=ATTACHMENT, num_warp=3, num_iter=5)
    if step == 1:
        return np.asarray(found, np.float32)
    places = np.meshgrid(*(np.arange(side) / step for side in before.shape), indexing="ij")
    return np.stack(
        [step * ndimage.map_coordinates(part, places, order=1, mode="nearest") for part in found]
    )


def _warped(members: Image, flow: Image) -> Image:
    """Return ``(C, H, W)`` memberships taken from where `flow` points to."""
    from scipy import ndimage

    places = np.indices(flow.shape[1:], np.float32) + flow
    moved = [ndimage.map_coordinates(part, places, order=1, mode="nearest") for part in members]
    return np.stack(moved)
