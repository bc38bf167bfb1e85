from __future__ import annotations

import numpy as np

from sslseg.core.geometry import Geometry, Plane
from sslseg.core.prediction import CriticHealth, Prediction, PredictionInfo

HEALTHY = CriticHealth(auc=0.8, healthy=True, words="good")


def grid(shape=(40, 30, 20), spacing=(1.0, 1.0, 1.0)) -> Geometry:
    return Geometry.of(shape, np.diag([*spacing, 1.0]))


def flat_scores(geometry: Geometry, seed: int, classes: int = 2) -> dict[str, np.ndarray]:
    """Random but smooth enough scores: a band of 100 voxels in every slice."""
    rng = np.random.default_rng(seed)
    scores = {}
    for plane in Plane:
        n = geometry.slices(plane)
        unsure = rng.uniform(5, 60, n).astype(np.float32)
        scores[f"{plane}.band"] = np.full(n, 100, np.float32)
        scores[f"{plane}.uncertainty"] = unsure
        scores[f"{plane}.mutual"] = unsure * rng.uniform(0, 0.6, n).astype(np.float32)
        scores[f"{plane}.doubt"] = rng.uniform(0, 90, n).astype(np.float32)
        scores[f"{plane}.foreground"] = (rng.uniform(size=n) > 0.3) * np.float32(40)
        scores[f"{plane}.boundary"] = np.full(n, 30, np.float32)
        scores[f"{plane}.box"] = np.tile(np.array([2, 5, 3, 9], np.int32), (n, 1))
        scores[f"{plane}.features"] = rng.normal(size=(n, 5)).astype(np.float32)
        scores[f"{plane}.classes"] = rng.uniform(0, 30, (n, classes)).astype(np.float32)
    return scores


def prediction_of(
    labels: np.ndarray, uncertainty: np.ndarray, mutual=None, confidence=None, classes=2
) -> Prediction:
    """A prediction that is certain of its labels, with the given maps."""
    probability = np.stack([labels == c for c in range(classes + 1)]).astype(np.float16)
    info = PredictionInfo(
        case="a", version="1", run="r", method="m", step=1, time=0.0, classes=("one", "two")
    )
    half = np.float16
    return Prediction(
        labels.astype(np.uint8),
        probability,
        uncertainty.astype(half),
        (np.zeros_like(uncertainty) if mutual is None else mutual).astype(half),
        None if confidence is None else confidence.astype(half),
        info,
    )
