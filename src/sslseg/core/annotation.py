"""What a human said about a case, and the one target that every loss is masked by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from sslseg.core.geometry import Array, Geometry, Plane, take_slice

IGNORE = -1
"""Target value of voxels about which nobody said anything."""

UNPAINTED = 0
"""Annotation value of a voxel that was not painted."""

BACKGROUND = 255
"""Annotation value of explicitly painted background; classes are 1 to 254."""


class SliceState(StrEnum):
    """How much of a slice its painted voxels say."""

    NONE = "none"
    PARTIAL = "partial"
    COMPLETE = "complete"


class SliceKey(BaseModel):
    """One slice of one case."""

    model_config = ConfigDict(frozen=True)
    case: str
    plane: Plane
    index: int


class SliceRecord(BaseModel):
    """The newest revision of one slice, without its labels."""

    model_config = ConfigDict(frozen=True)
    key: SliceKey
    state: SliceState
    revision: int
    time: float
    author: str
    model: str = ""
    validation: bool = False


@dataclass(frozen=True)
class Annotation:
    """All that was painted on one case.

    Parameters
    ----------
    labels : ndarray of uint8
        ``(X, Y, Z)``: 0 unpainted, 1 to 254 classes, 255 painted background.
    states : mapping
        State of each slice that was ever saved, by ``(plane, index)``.
    """

    labels: npt.NDArray[np.uint8]
    states: Mapping[tuple[Plane, int], SliceState] = field(default_factory=dict)

    @classmethod
    def empty(cls, geometry: Geometry) -> Annotation:
        """Return an annotation that says nothing."""
        return cls(np.zeros(geometry.shape, np.uint8))

    def known_background(self) -> npt.NDArray[np.bool_]:
        """Return ``(X, Y, Z)`` bool: painted background, and the unpainted of complete slices."""
        known: npt.NDArray[np.bool_] = self.labels == BACKGROUND
        for (plane, index), state in self.states.items():
            if state is SliceState.COMPLETE:
                chosen = take_slice(self.labels, plane, index)
                take_slice(known, plane, index)[chosen == UNPAINTED] = True
        return known

    def target(self) -> npt.NDArray[np.int16]:
        """Return the training target ``(X, Y, Z)``: class index, 0 background, or IGNORE."""
        painted = (self.labels != UNPAINTED) & (self.labels != BACKGROUND)
        target = np.full(self.labels.shape, IGNORE, np.int16)
        target[self.known_background()] = 0
        target[painted] = self.labels[painted]
        return target


def slice_target(labels: Array, state: SliceState) -> npt.NDArray[np.int16]:
    """Return the target of one slice alone, ``(H, W)``, as `Annotation.target` would."""
    unpainted = 0 if state is SliceState.COMPLETE else IGNORE
    target = labels.astype(np.int16)
    target[labels == UNPAINTED] = unpainted
    target[labels == BACKGROUND] = 0
    return target
