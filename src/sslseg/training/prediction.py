"""What a trained model says of one case."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from traceback import clear_frames

import numpy as np
import numpy.typing as npt

from sslseg.core.control import Control
from sslseg.core.errors import OUT_OF_MEMORY, SslsegError, out_of_memory
from sslseg.core.events import PredictionReady
from sslseg.core.prediction import Prediction, PredictionInfo
from sslseg.data.preprocessing import load_prepared
from sslseg.inference.features import SliceFeatures
from sslseg.inference.native import to_native
from sslseg.storage.arrays import save_prediction
from sslseg.storage.store import ProjectStore
from sslseg.suggest.acquisition import slice_scores
from sslseg.training.model import ModelFacts
from sslseg.training.trainer import Trainer


def predict_and_save(
    store: ProjectStore, trainer: Trainer, facts: ModelFacts, name: str, control: Control
) -> PredictionReady:
    """Put on disk what a model says of a case, with what suggestions want to know of its slices.

    Raises
    ------
    SslsegError
        Where the image is gone or damaged, memory does not suffice, or it cannot be written.
    """
    with _fitting(name):
        prediction, image, features = predict_case(store, trainer, facts, name, control)
        geometry = store.case(name).geometry
        scores = slice_scores(prediction, geometry.spacing, image) | features.rows(geometry.shape)
    folder = save_prediction(store.path, prediction, scores)
    return PredictionReady(case=name, version=prediction.info.version, folder=str(folder))


@contextmanager
def _fitting(name: str) -> Iterator[None]:
    """Say which case it was that memory does not suffice for: others may fit."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        clear_frames(error.__traceback__)  # they hold what did not fit
        raise SslsegError(
            f"case {name}, whose prediction does not fit into memory",
            "a volume that does, or more memory",
            OUT_OF_MEMORY,
        ) from None


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
