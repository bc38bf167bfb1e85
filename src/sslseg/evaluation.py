"""How well a prediction meets the truth: Dice, HD95 and ASSD in mm, per case and class.

Distances are between surface voxels (those with a face neighbour outside, or at the border of
the image), as MONAI and the segmentation challenges count them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import KDTree

from sslseg.core.errors import SslsegError
from sslseg.core.volume import ClassLabel

Labels = npt.NDArray[Any]
Bools = npt.NDArray[np.bool_]
Spacing = tuple[float, float, float]
Measures = dict[str, float | None]
"""Keys dice, hd95_mm, assd_mm; None where undefined."""

NAMES = ("dice", "hd95_mm", "assd_mm")


def evaluate(
    predictions: Mapping[str, Labels],
    truths: Mapping[str, Labels],
    spacings: Mapping[str, Spacing],
    classes: Sequence[ClassLabel],
) -> dict[str, Any]:
    """Return the measures of all cases in `truths`, and their means.

    Parameters
    ----------
    predictions, truths : mapping
        Case name to labels ``(X, Y, Z)``, any integer dtype.
    spacings : mapping
        Case name to voxel size in mm along ``(X, Y, Z)``.
    classes : sequence of ClassLabel
        The foreground classes.

    Returns
    -------
    dict
        ``{"cases": {case: {class: measures}}, "mean": {class: measures, "all": measures}}``.

    Raises
    ------
    SslsegError
        If a prediction is missing or lies on another grid than its truth.
    """
    cases = {}
    for name, truth in truths.items():
        if name not in predictions:
            raise SslsegError(
                f"no prediction of case {name}",
                "one for each case with a label file",
                "Run `sslseg predict` first.",
            )
        cases[name] = evaluate_case(predictions[name], truth, spacings[name], classes)
    return summarise(cases, classes)


def evaluate_case(
    prediction: Labels, truth: Labels, spacing: Spacing, classes: Sequence[ClassLabel]
) -> dict[str, Measures]:
    """Return class name to measures of one case; arrays as in `evaluate`."""
    if prediction.shape != truth.shape:
        raise SslsegError(
            f"a prediction of {prediction.shape} voxels",
            f"the {truth.shape} voxels of the label file",
            "Check that the labels belong to this image.",
        )
    return {
        label.name: measure(prediction == label.value, truth == label.value, spacing)
        for label in classes
    }


def summarise(
    cases: Mapping[str, Mapping[str, Measures]], classes: Sequence[ClassLabel]
) -> dict[str, Any]:
    """Return the cases with the mean of the defined values of each class, and of all classes."""
    means = {label.name: _mean([case[label.name] for case in cases.values()]) for label in classes}
    return {
        "cases": {name: dict(case) for name, case in cases.items()},
        "mean": {**means, "all": _mean(list(means.values()))},
    }


def measure(prediction: Bools, truth: Bools, spacing: Spacing) -> Measures:
    """Return Dice, HD95 (mm) and ASSD (mm) of two ``(X, Y, Z)`` masks.

    All are None where both masks are empty; where one is, Dice is 0 and the distances are None.
    """
    value = dice(prediction, truth)
    if value is None or not (prediction.any() and truth.any()):
        return {"dice": value, "hd95_mm": None, "assd_mm": None}
    there, back = surface_distances(prediction, truth, spacing)
    hd95 = max(float(np.percentile(there, 95)), float(np.percentile(back, 95)))
    assd = float((there.sum() + back.sum()) / (there.size + back.size))
    return {"dice": value, "hd95_mm": hd95, "assd_mm": assd}


def dice(prediction: Bools, truth: Bools) -> float | None:
    """Return twice the overlap over the sum of two masks; None where both are empty."""
    total = np.count_nonzero(prediction) + np.count_nonzero(truth)
    return 2 * np.count_nonzero(prediction & truth) / total if total else None


def surface_distances(
    first: Bools, second: Bools, spacing: Spacing
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the distances in mm from each surface voxel of one mask to the other's surface.

    Parameters
    ----------
    first, second : ndarray of bool
        ``(X, Y, Z)``, neither empty.
    spacing : tuple of float
        mm along ``(X, Y, Z)``.

    Returns
    -------
    tuple of ndarray
        From `first` to `second`, and back; float64.
    """
    box = ndimage.find_objects((first | second).astype(np.uint8))[0]
    edges = [mask & ~ndimage.binary_erosion(mask) for mask in (first[box], second[box])]
    # Trees of points, since one far speck would make distance maps as large as the volume.
    points = [np.argwhere(edge) * np.asarray(spacing) for edge in edges]
    there, back = (KDTree(points[other]).query(points[own])[0] for own, other in ((0, 1), (1, 0)))
    return there, back


def _mean(rows: Sequence[Measures]) -> Measures:
    means: Measures = {}
    for name in NAMES:
        defined = [value for row in rows if (value := row[name]) is not None]
        means[name] = float(np.mean(defined)) if defined else None
    return means
