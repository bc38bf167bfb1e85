"""What a model said about a case."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from sslseg.core.control import Place
from sslseg.core.geometry import Array, Plane


class CriticHealth(BaseModel):
    """Whether the discriminator can be believed.

    Parameters
    ----------
    auc : float or None
        Area under the ROC curve of telling truth from prediction on held-out annotated slices
        (on annotated slices where none are held out); None where it could not be measured.
    auc_step : int or None
        The step at which `auc` was measured. Held-out slices are learnt from in the end, so that
        later judgements keep the last one of before.
    healthy : bool
        Whether `auc` lies within 0.6 and 0.95.
    words : str
        For the screen: one sentence on `auc`, and one for each thing that goes wrong.
    loss, accuracy_real, accuracy_fake : float or None
        Running means in training, of the discriminator that pushes the model (of several the one
        that fares worst, which `words` then name), or else of the one that only watches:
        cross-entropy (0.69 for one that knows nothing), and the share of real and of predicted
        maps (or voxels) that it told. Real is what predictions should look like.
    diversity : float or None
        Deviation, over unlabelled patches, of the predicted share of foreground; measured where a
        discriminator pushes. When it falls, all predictions become one.
    """

    model_config = ConfigDict(frozen=True)
    auc: float | None = None
    auc_step: int | None = None
    healthy: bool = False
    words: str = "No discriminator was trained."
    loss: float | None = None
    accuracy_real: float | None = None
    accuracy_fake: float | None = None
    diversity: float | None = None


class PredictionInfo(BaseModel):
    """The facts kept beside a prediction's arrays.

    `saw_held_out` tells that the model had learnt from the held-out slices too, so that no Dice
    of this prediction on them means anything; `Validated` holds the one measured before.
    """

    model_config = ConfigDict(frozen=True)
    case: str
    version: str
    run: str
    method: str
    step: int
    time: float
    classes: tuple[str, ...]
    saw_held_out: bool = False
    critic: CriticHealth = CriticHealth()


class Figures(BaseModel):
    """What the case list says of a prediction, whatever is annotated.

    It is kept with the facts, so that no array is read for it.

    Parameters
    ----------
    uncertainty : float or None
        As `mean_uncertainty` tells it, in [0, 1]; None where nothing was found.
    """

    model_config = ConfigDict(frozen=True)
    uncertainty: float | None


@dataclass(frozen=True)
class Prediction:
    """Arrays of one predicted case, all on the case's own RAS+ grid.

    Parameters
    ----------
    labels : ndarray of uint8
        ``(X, Y, Z)``; 0 background, 1.. classes.
    probability : ndarray of float16
        ``(C, X, Y, Z)``; background first, sums to one. Not kept on disk: C is 0 where the
        prediction was read from there.
    uncertainty : ndarray of float16
        ``(X, Y, Z)`` in [0, 1]: entropy of the mean probability over ln C.
    mutual_information : ndarray of float16
        ``(X, Y, Z)`` in [0, 1]: the part of the uncertainty on which the members (teacher and
        student, networks, flips) disagree.
    confidence : ndarray of float16 or None
        ``(X, Y, Z)`` in [0, 1]: the discriminator's sigmoid; None without a discriminator.
    info : PredictionInfo
        Where it came from.
    """

    labels: npt.NDArray[np.uint8]
    probability: npt.NDArray[np.float16]
    uncertainty: npt.NDArray[np.float16]
    mutual_information: npt.NDArray[np.float16]
    confidence: npt.NDArray[np.float16] | None
    info: PredictionInfo


def mean_uncertainty(labels: npt.NDArray[np.uint8], uncertainty: Array) -> float | None:
    """Return the mean in the predicted structures' bounding box, two voxels wider.

    Over a whole volume the easy background would hide the difference between cases. None where
    nothing is predicted: there is no structure to be unsure of.

    Parameters
    ----------
    labels : ndarray of uint8
        ``(X, Y, Z)``; 0 background.
    uncertainty : ndarray
        ``(X, Y, Z)`` in [0, 1].
    """
    box: list[slice] = []
    for axis in range(3):
        used = np.flatnonzero(labels.any(axis=tuple(each for each in range(3) if each != axis)))
        if not len(used):
            return None
        box.append(slice(max(int(used[0]) - 2, 0), int(used[-1]) + 3))
    return float(np.mean(uncertainty[tuple(box)], dtype=np.float64))


@dataclass(frozen=True)
class Glimpse:
    """Some slices of a case as a model sees them in training, where the whole case takes too long.

    Parameters
    ----------
    case : str
        Its name.
    plane, first : Plane, int
        Where the first slice lies; the others follow it.
    labels : ndarray of uint8
        ``(n, H, W)`` on the case's own grid; 0 background, 1.. classes.
    """

    case: str
    plane: Plane
    first: int
    labels: npt.NDArray[np.uint8]

    @property
    def places(self) -> set[Place]:
        """Plane and number of each slice."""
        return {(self.plane, self.first + number) for number in range(len(self.labels))}
