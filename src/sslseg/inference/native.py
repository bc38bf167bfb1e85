"""From maps on the training grid to a prediction on the case's own voxels."""

from __future__ import annotations

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
    probability = np.stack([resample(part, shape) for part in maps.probability])
    probability /= np.maximum(probability.sum(0, keepdims=True), 1e-6)
    labels = probability.argmax(0).astype(np.uint8)
    return Prediction(
        labels=labels if islands else without_islands(labels),
        probability=probability.astype(np.float16),
        uncertainty=_unit(resample(maps.entropy, shape)),
        mutual_information=_unit(resample(maps.information, shape)),
        confidence=None if maps.confidence is None else _unit(resample(maps.confidence, shape)),
        info=info,
    )


def _unit(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float16]:
    return np.clip(values, 0.0, 1.0).astype(np.float16)
