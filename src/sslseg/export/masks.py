"""Which mask a case has, from the model or from people."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sslseg.core.annotation import BACKGROUND, IGNORE, SliceState
from sslseg.core.errors import SslsegError
from sslseg.storage.arrays import latest_prediction, load_array
from sslseg.storage.store import ProjectStore


class MaskSource(StrEnum):
    """Whose masks to export."""

    PREDICTIONS = "predictions"
    ANNOTATIONS = "annotations"


def cases_with_masks(store: ProjectStore, what: MaskSource) -> tuple[str, ...]:
    """Return the cases that have such a mask, in the project's order.

    Raises
    ------
    SslsegError
        If there is none at all.
    """
    names = [record.name for record in store.cases()]
    if what is MaskSource.PREDICTIONS:
        found = [name for name in names if latest_prediction(store.path, name) is not None]
        todo = "Train, or run 'sslseg predict', then export again."
    else:
        annotated = {
            record.key.case for record in store.slices() if record.state is not SliceState.NONE
        }
        found = [name for name in names if name in annotated]
        todo = "Label some slices, or export predictions."
    if not found:
        raise SslsegError(f"no {what.value} in {store.path}", "at least one case with them", todo)
    return tuple(found)


def mask(store: ProjectStore, case: str, what: MaskSource) -> npt.NDArray[np.uint8]:
    """Return ``(X, Y, Z)``, RAS+: class numbers, and 0 for background and everything unknown.

    In a predicted mask everything that a person labelled is as labelled.
    """
    if what is MaskSource.ANNOTATIONS:
        labels = store.annotation(case).labels
        return np.where(labels == BACKGROUND, 0, labels).astype(np.uint8)
    return _checked(store, case)


def target_mask(
    store: ProjectStore, case: str, what: MaskSource, ignore: int
) -> npt.NDArray[np.uint8]:
    """Return ``(X, Y, Z)``, RAS+, as `mask`, but `ignore` where nobody said anything."""
    if what is MaskSource.ANNOTATIONS:
        target = store.annotation(case).target()
        return np.where(target == IGNORE, ignore, target).astype(np.uint8)
    return _checked(store, case)


def _checked(store: ProjectStore, case: str) -> npt.NDArray[np.uint8]:
    """Return the prediction, corrected by all that was labelled since and before."""
    target = store.annotation(case).target()
    return np.where(target == IGNORE, predicted(store, case), target).astype(np.uint8)


def predicted(store: ProjectStore, case: str) -> npt.NDArray[np.uint8]:
    """Return what the model alone says of a case, ``(X, Y, Z)``, RAS+.

    Raises
    ------
    SslsegError
        If it was not predicted.
    """
    return load_array(prediction_of(store, case), "labels").astype(np.uint8, copy=False)


def prediction_of(store: ProjectStore, case: str) -> Path:
    """Return the folder of the newest prediction of a case; SslsegError if there is none."""
    folder = latest_prediction(store.path, case)
    if folder is None:
        raise SslsegError(
            f"no prediction of case {case}", "a predicted case", "Run 'sslseg predict' first."
        )
    return folder
