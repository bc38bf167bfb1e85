"""From voxels to slices: what a prediction says of every slice, in three planes at once.

The arrays are plain numbers per slice, so that ranking never reads a volume again. Annotated
voxels are left out at ranking time: strokes come faster than predictions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from sslseg.core.geometry import Plane
from sslseg.core.prediction import Prediction

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Spacing = tuple[float, float, float]

BAND_RADIUS = 4.0
"""How far the band reaches around the predicted foreground, in voxels of the finest axis."""

UNSURE = 0.5
"""Uncertainty above which a voxel belongs to the band wherever it lies."""


def slice_scores(prediction: Prediction, spacing: Spacing) -> dict[str, Floats]:
    """Return the sums over every slice that acquisition scores are made of.

    Parameters
    ----------
    prediction : Prediction
        Of one case, on its RAS+ grid ``(X, Y, Z)``.
    spacing : tuple of float
        Voxel size in mm along ``(X, Y, Z)``.

    Returns
    -------
    dict
        Keys ``"<plane>.<name>"``, float32, one row per slice of the plane:
        ``band`` voxels in the band, ``uncertainty``, ``mutual`` and ``doubt`` sums over the band
        (``doubt`` only with a discriminator), ``foreground`` predicted voxels, ``boundary``
        predicted outline in mm, ``classes`` ``(N, K)`` uncertainty mass of each class.
    """
    band = uncertainty_band(prediction, spacing)
    box = bounding_box(band)
    inside, labels = band[box], prediction.labels[box]
    unsure = np.where(inside, prediction.uncertainty[box], 0).astype(np.float32)
    maps: dict[str, npt.NDArray[Any]] = {
        "band": inside,
        "uncertainty": unsure,
        "mutual": np.where(inside, prediction.mutual_information[box], 0),
        "foreground": labels > 0,
    }
    if prediction.confidence is not None:
        maps["doubt"] = np.where(inside, 1 - prediction.confidence[box].astype(np.float32), 0)
    classes = [unsure * member[box] for member in prediction.probability[1:]]
    shape = prediction.labels.shape
    scores: dict[str, Floats] = {}
    for plane in Plane:
        span = (shape[plane.axis], box[plane.axis])
        for name, values in maps.items():
            scores[f"{plane}.{name}"] = _placed(plane_sums(values, plane), *span)
        scores[f"{plane}.boundary"] = _placed(outline_mm(labels, plane, spacing), *span)
        columns = [_placed(plane_sums(values, plane), *span) for values in classes]
        scores[f"{plane}.classes"] = _columns(columns, shape[plane.axis])
    return scores


def uncertainty_band(prediction: Prediction, spacing: Spacing) -> Bools:
    """Return ``(X, Y, Z)`` bool: near the predicted foreground, or unsure; else everything."""
    band = near(prediction.labels > 0, spacing) | (prediction.uncertainty > UNSURE)
    return band if band.any() else np.ones_like(band)


def near(foreground: Bools, spacing: Spacing, radius: float = BAND_RADIUS) -> Bools:
    """Return `foreground` dilated by a box of about `radius` voxels of the finest axis.

    The reach is the same in mm along all axes, so thick slices do not bleed into each other.
    """
    grown = foreground.astype(np.uint8)
    for axis, step in enumerate(spacing):
        reach = round(radius * min(spacing) / step)
        if reach:
            grown = ndimage.maximum_filter1d(grown, 2 * reach + 1, axis, mode="constant")
    return grown.astype(bool)


def bounding_box(mask: Bools) -> tuple[slice, slice, slice]:
    """Return the smallest box around the true voxels of a non-empty ``(X, Y, Z)`` mask."""
    spans = []
    for axis in range(3):
        used = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        spans.append(slice(int(used[0]), int(used[-1]) + 1))
    return (spans[0], spans[1], spans[2])


def plane_sums(values: npt.NDArray[Any], plane: Plane) -> Floats:
    """Return the sum of ``(X, Y, Z)`` over each slice of `plane`, ``(N,)`` float32."""
    others = tuple(axis for axis in range(3) if axis != plane.axis)
    return np.asarray(values.sum(axis=others, dtype=np.float32))


def outline_mm(labels: npt.NDArray[Any], plane: Plane, spacing: Spacing) -> Floats:
    """Return how many mm of outline the labels have in each slice of `plane`, ``(N,)``.

    Counts the edges between voxels of different labels, each as long as the voxel is wide; an
    object that touches the border of the image is not outlined there.
    """
    first, second = (axis for axis in range(3) if axis != plane.axis)
    total = np.zeros(labels.shape[plane.axis], np.float32)
    for across, along in ((first, second), (second, first)):
        shifted = np.moveaxis(labels, across, 0)
        edges = np.moveaxis(shifted[1:] != shifted[:-1], 0, across)
        total += plane_sums(edges, plane) * np.float32(spacing[along])
    return total


def _placed(values: Floats, length: int, span: slice) -> Floats:
    """Return `values` of a cropped axis at their place on the whole axis."""
    whole = np.zeros(length, np.float32)
    whole[span] = values
    return whole


def _columns(columns: Sequence[Floats], rows: int) -> Floats:
    """Return the columns side by side, ``(rows, len(columns))``."""
    return np.stack(columns, axis=1) if columns else np.zeros((rows, 0), np.float32)
