"""From maps on the training grid to a prediction on the case's own voxels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sslseg.core.prediction import Prediction, PredictionInfo
from sslseg.data.islands import without_islands
from sslseg.data.preprocessing import resample
from sslseg.inference.maps import Maps


def to_native(
    maps: Maps, shape: tuple[int, int, int], info: PredictionInfo, *, islands: float = 0.0
) -> Prediction:
    """Return the prediction on the case's RAS+ grid of `shape`.

    Probabilities are made to sum to one and resampled linearly, class by class; labels are their
    argmax, without pieces below the share `islands` of the largest, as `without_islands`.
    """
    labels, probability = _decided(maps.probability, shape)
    return Prediction(
        labels=without_islands(labels, islands),
        probability=probability,
        uncertainty=_unit(resample(maps.entropy, shape)),
        mutual_information=_unit(resample(maps.information, shape)),
        confidence=None if maps.confidence is None else _unit(resample(maps.confidence, shape)),
        info=info,
    )


def _decided(
    maps: npt.NDArray[np.float32], shape: tuple[int, int, int]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float16]]:
    """Return labels and probabilities on a grid of `shape` from ``(C, X', Y', Z')``.

    One class after the other, since all of them in single precision fill the memory on a CT. They
    are made to sum to one before they are resampled: what is linear leaves it so.
    """
    total = maps[0].copy()
    for part in maps[1:]:
        total += part
    np.maximum(total, 1e-6, out=total)
    labels = np.zeros(shape, np.uint8)
    probability = np.empty((len(maps), *shape), np.float16)
    highest = np.full(shape, -1, np.float32)
    for value, part in enumerate(maps):
        share = resample(part / total, shape)
        probability[value] = share
        labels[share > highest] = value
        np.maximum(highest, share, out=highest)
    return labels, probability


def _unit(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float16]:
    return np.clip(values, 0.0, 1.0).astype(np.float16)
