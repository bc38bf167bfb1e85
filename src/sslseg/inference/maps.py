"""Probability, uncertainty and confidence of some voxels."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sslseg.losses.consistency import mutual_information

VALUES_AT_ONCE = 2**23
"""Probabilities of all members that become maps together; several copies of them are made."""

ALIKE = 32
"""Voxels that vector units sum in one order; what is left at the end goes in another. Parts of a
volume hold whole runs, the last one also the rest, and say bit for bit what the whole would."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Maps:
    """Arrays over one grid of voxels ``S``.

    Parameters
    ----------
    probability : ndarray of float32
        ``(C, *S)``, mean of the members.
    entropy, information : ndarray of float32
        ``(*S)`` in [0, 1]: entropy of the mean over ln C, and its part due to disagreement.
    confidence : ndarray of float32 or None
        ``(*S)`` in [0, 1]: the critic's sigmoid.
    """

    probability: Floats
    entropy: Floats
    information: Floats
    confidence: Floats | None

    def slice(self, axis: int, index: int) -> Maps:
        """Return one slice across spatial `axis`."""
        return self._each(lambda array: np.moveaxis(array, axis, 0)[index])

    def at(self, index: int) -> Maps:
        """Return the slice `index` of the first spatial axis."""
        return self.slice(0, index)

    def write(self, axis: int, first: int, slices: Maps) -> None:
        """Take over slices from number `first` on across `axis`; theirs is the first spatial axis.

        The arrays are filled in place: those of a large volume are never held twice.
        """
        for mine, theirs in zip(self._arrays(), slices._arrays(), strict=True):
            np.moveaxis(mine, axis, 0)[first : first + len(theirs)] = theirs

    def _arrays(self) -> list[Floats]:
        """Return all arrays ``(*S)``, class by class."""
        belief = [] if self.confidence is None else [self.confidence]
        return [*self.probability, self.entropy, self.information, *belief]

    def _each(self, change: Callable[[Floats], Floats]) -> Maps:
        """Return the maps with `change` applied to each array ``(*S)``, class by class."""
        return Maps(
            np.stack([change(part) for part in self.probability]),
            change(self.entropy),
            change(self.information),
            None if self.confidence is None else change(self.confidence),
        )

    @staticmethod
    def empty(classes: int, shape: Sequence[int], *, confidence: bool) -> Maps:
        """Return maps over voxels of `shape` that say nothing yet, for `write`."""
        return Maps(
            np.zeros((classes, *shape), np.float32),
            np.zeros(shape, np.float32),
            np.zeros(shape, np.float32),
            np.zeros(shape, np.float32) if confidence else None,
        )


def blended(mine: Maps, theirs: Maps, weight: float) -> Maps:
    """Return the mean of two maps over the same voxels, `weight` being that of the second.

    Entropy is that of the mean probability; its part due to disagreement is what exceeds the mean
    entropy of all members. Confidence is the first's.
    """
    probability = (1 - weight) * mine.probability + weight * theirs.probability
    entropy = _entropy(probability)
    own = mine.entropy - mine.information, theirs.entropy - theirs.information
    doubt = (1 - weight) * own[0] + weight * own[1]
    return Maps(probability, entropy, np.maximum(entropy - doubt, 0), mine.confidence)


def _entropy(probability: Floats) -> Floats:
    """Return the entropy ``(*S)`` of ``(C, *S)`` over ln C."""
    terms = probability * np.log(np.maximum(probability, np.finfo(np.float32).tiny))
    return np.asarray(-terms.sum(0) / np.log(len(probability)), np.float32)


def maps_of(stacked: Tensor, classes: int, has_critic: bool) -> Maps:
    """Return the maps of stacked outputs.

    Members are averaged over windows first; entropy and mutual information are of the averaged
    members. The first spatial axis is gone through in parts, since what is made on the way takes
    more room than the outputs themselves.

    Parameters
    ----------
    stacked : Tensor
        ``(M * C, *S)``, members one after the other, then one channel of critic logits if any.
    classes : int
        C, background included.
    has_critic : bool
        Whether the last channel is the critic's.
    """
    probabilities = stacked[:-1] if has_critic else stacked
    maps = Maps.empty(classes, probabilities.shape[1:], confidence=False)
    for first, last in _parts(*probabilities.shape):
        maps.write(0, first, _doubts(probabilities[:, first:last], classes))
    return replace(maps, confidence=torch.sigmoid(stacked[-1]).numpy() if has_critic else None)


def _parts(channels: int, slices: int, *sides: int) -> Iterable[tuple[int, int]]:
    """Return where parts of ``(channels, slices, *sides)`` begin and end along the slices."""
    run = ALIKE // math.gcd(ALIKE, math.prod(sides))
    each = max(1, VALUES_AT_ONCE // (channels * math.prod(sides) * run)) * run
    begins = range(0, max(1, slices // each) * each, each)
    return pairwise([*begins, slices])


def _doubts(probabilities: Tensor, classes: int) -> Maps:
    """Return the maps of members ``(M * C, *S)``, without confidence."""
    members = [part.unsqueeze(0) for part in torch.split(probabilities, classes)]
    mean, total, information = mutual_information(members)
    return Maps(mean[0].numpy(), total[0, 0].numpy(), information[0, 0].numpy(), None)
