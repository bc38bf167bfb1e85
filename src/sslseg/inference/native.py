"""From maps on the training grid to a prediction on the case's own voxels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sslseg.core.prediction import Prediction, PredictionInfo
from sslseg.data.islands import without_islands
from sslseg.data.preprocessing import resample
from sslseg.inference.maps import Maps


def to_native(
    maps: Maps, shape: tuple[int, int, int], info: PredictionInfo, *, islands: bool = True
) -> Prediction:
    """Return the prediction on the case's RAS+ grid of `shape`.

    Probabilities are resampled linearly, class by class, and made to sum to one again; labels
    are their argmax, without small islands where `islands` says that there should be none.
    """
    labels, probability = _decided([resample(part, shape) for part in maps.probability])
    return Prediction(
        labels=labels if islands else without_islands(labels),
        probability=probability,
        uncertainty=_unit(resample(maps.entropy, shape)),
        mutual_information=_unit(resample(maps.information, shape)),
        confidence=None if maps.confidence is None else _unit(resample(maps.confidence, shape)),
        info=info,
    )


def _decided(
    parts: Sequence[npt.NDArray[np.float32]],
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float16]]:
    """Return labels ``(X, Y, Z)`` and probabilities that sum to one, from those of each class.

    One class after the other, since all of them in single precision fill the memory on a CT.
    """
    total = parts[0].copy()
    for part in parts[1:]:
        total += part
    np.maximum(total, 1e-6, out=total)
    labels = np.zeros(total.shape, np.uint8)
    probability = np.empty((len(parts), *total.shape), np.float16)
    highest = np.full(total.shape, -1, np.float32)
    for value, part in enumerate(parts):
        share = part / total
        probability[value] = share
        labels[share > highest] = value
        np.maximum(highest, share, out=highest)
    return labels, probability


def _unit(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float16]:
    return np.clip(values, 0.0, 1.0).astype(np.float16)
