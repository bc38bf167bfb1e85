"""What a trained model says of one case."""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt

from sslseg.core.control import Control
from sslseg.core.prediction import Prediction, PredictionInfo
from sslseg.data.preprocessing import load_prepared
from sslseg.inference.features import SliceFeatures
from sslseg.inference.native import to_native
from sslseg.storage.store import ProjectStore
from sslseg.training.model import ModelFacts
from sslseg.training.trainer import Trainer


def predict_case(
    store: ProjectStore, trainer: Trainer, facts: ModelFacts, name: str, control: Control
) -> tuple[Prediction, npt.NDArray[np.float16], SliceFeatures]:
    """Return what a model says of a case, on the case's own grid.

    With it the image that the model was shown, and what its encoder made of the slices.
    """
    record = store.case(name)
    prepared = load_prepared(store, record, facts.plan.spacing)
    maps, features = trainer.predictor().volume_and_features(prepared.image, control)
    info = PredictionInfo(
        case=name,
        version=f"{time.time_ns() // 10**6:014d}",
        run=facts.run,
        method=facts.method,
        step=facts.step,
        time=time.time(),
        classes=facts.classes,
        saw_held_out=facts.saw_held_out,
        critic=facts.critic,
    )
    found = to_native(maps, record.geometry.shape, info, islands=facts.plan.islands)
    return found, prepared.image, features
