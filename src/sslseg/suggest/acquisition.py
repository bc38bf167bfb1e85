"""From voxels to slices: what a prediction says of every slice, in three planes at once.

The arrays are plain numbers per slice, so that ranking never reads a volume again. Annotated
voxels are left out at ranking time: strokes come faster than predictions.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from sslseg.core.geometry import Plane
from sslseg.core.prediction import Prediction
from sslseg.suggest.descriptors import look_features, shape_features
from sslseg.suggest.regions import Boxes, heaviest_boxes, pointing

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Spacing = tuple[float, float, float]

BAND_RADIUS = 4.0
"""How far the band reaches around the predicted foreground, in voxels of the finest axis."""

UNSURE = 0.5
"""Uncertainty above which a voxel belongs to the band wherever it lies."""


def slice_scores(
    prediction: Prediction, spacing: Spacing, image: npt.NDArray[Any] | None = None
) -> dict[str, npt.NDArray[Any]]:
    """Return the sums over every slice that acquisition scores are made of, and what it looks like.

    Parameters
    ----------
    prediction : Prediction
        Of one case, on its RAS+ grid ``(X, Y, Z)``.
    spacing : tuple of float
        Voxel size in mm along ``(X, Y, Z)``.
    image : ndarray, optional
        ``(X', Y', Z')`` z-scored intensities of the case, on any grid.

    Returns
    -------
    dict
        Keys ``"<plane>.<name>"``, one row per slice of the plane. Float32 sums: ``band`` voxels
        in the band, ``uncertainty``, ``mutual`` and ``doubt`` over the band (``doubt`` only with
        a discriminator), ``foreground`` predicted voxels, ``boundary`` predicted outline in mm,
        ``classes`` ``(N, K)`` uncertainty mass of each class. Further ``box`` ``(N, 4)`` int32,
        see `regions.heaviest_boxes`, 0 around whole slices, and ``features`` ``(N, D)`` float32
        for comparing slices.
    """
    band = uncertainty_band(prediction, spacing)
    crop = bounding_box(band)
    maps = _band_maps(prediction, band[crop], crop)
    unsure, labels = maps["uncertainty"], prediction.labels[crop]
    classes = [_in_planes(unsure * member[crop]) for member in prediction.probability[1:]]
    scores: dict[str, npt.NDArray[Any]] = {}
    for plane in Plane:
        rows: dict[str, npt.NDArray[Any]] = {n: plane_sums(v, plane) for n, v in maps.items()}
        rows["boundary"] = outline_mm(labels, plane, spacing)
        none = np.zeros((labels.shape[plane.axis], 0), np.float32)
        columns = [sums[plane][:, None] for sums in classes]
        rows["classes"] = np.concatenate([none, *columns], axis=1)
        boxes = _moved(heaviest_boxes(unsure, plane), plane, crop)
        rows["box"] = pointing(boxes, *_sides(prediction.labels.shape, plane))
        length = prediction.labels.shape[plane.axis]
        for name, values in rows.items():
            scores[f"{plane}.{name}"] = _placed(values, length, crop[plane.axis])
        looks = shape_features(prediction.labels, plane), *_looks(image, plane, length)
        scores[f"{plane}.features"] = np.concatenate(looks, axis=1)
    return scores


def _band_maps(
    prediction: Prediction, inside: Bools, crop: tuple[slice, slice, slice]
) -> dict[str, npt.NDArray[Any]]:
    """Return the voxel maps to be summed, 0 outside the band."""
    maps: dict[str, npt.NDArray[Any]] = {
        "band": inside,
        "uncertainty": np.where(inside, prediction.uncertainty[crop], 0).astype(np.float32),
        "mutual": np.where(inside, prediction.mutual_information[crop], 0),
        "foreground": prediction.labels[crop] > 0,
    }
    if prediction.confidence is not None:
        maps["doubt"] = np.where(inside, 1 - prediction.confidence[crop].astype(np.float32), 0)
    return maps


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


def _in_planes(values: npt.NDArray[Any]) -> dict[Plane, Floats]:
    """Return the sums over the slices of every plane; `values` may go then."""
    return {plane: plane_sums(values, plane) for plane in Plane}


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


def _placed(values: npt.NDArray[Any], length: int, span: slice) -> npt.NDArray[Any]:
    """Return rows of a cropped axis at their place on the whole axis."""
    whole = np.zeros((length, *values.shape[1:]), values.dtype)
    whole[span] = values
    return whole


def _moved(boxes: Boxes, plane: Plane, crop: tuple[slice, slice, slice]) -> Boxes:
    """Return the boxes of cropped slices in whole slices; empty ones stay 0."""
    top, left = (crop[axis].start for axis in range(3) if axis != plane.axis)
    filled = boxes.any(axis=1, keepdims=True)
    return np.where(filled, boxes + np.array([top, top, left, left], np.int32), 0)


def _sides(shape: tuple[int, ...], plane: Plane) -> list[int]:
    """Return height and width of the slices of a plane."""
    return [side for axis, side in enumerate(shape) if axis != plane.axis]


def _looks(image: npt.NDArray[Any] | None, plane: Plane, count: int) -> Iterator[Floats]:
    if image is not None:
        yield look_features(image, plane, count)
