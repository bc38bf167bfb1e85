"""Dice on held-out slices, and the discriminator's health."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from sslseg.core.annotation import IGNORE
from sslseg.core.control import Control
from sslseg.core.prediction import CriticHealth
from sslseg.data.held_out import HeldOutSlice
from sslseg.data.sampling import Sampler
from sslseg.inference.maps import Maps
from sslseg.inference.predictor import Predictor
from sslseg.losses.adversarial import soften
from sslseg.losses.masked import annotated, one_hot
from sslseg.networks.factory import memory_format
from sslseg.training.critic import auc, judge

MOST_PIXELS, FEWEST = 300_000, 6
"""Held-out slices that are measured: seconds, not the half minute of a hundred large ones."""

ENOUGH_CASES = 3
"""From so many on cases are left out one by one to see how far a Dice may be off."""

BATCHES_TO_JUDGE = 2
BAND = 5
"""Voxels across of the neighbourhood of foreground in which the critic is judged."""


@dataclass(frozen=True)
class SliceDice:
    """Dice on held-out slices.

    Parameters
    ----------
    classes : list of float or None
        Of classes 1.., pooled over all slices; None where a class is absent.
    mean : float or None
        Over the classes that are present.
    without : tuple of float or None
        The mean with each case left out in turn, or each slice where they are of fewer than three
        cases: slices of one case are alike, and an error that took them for independent would be
        too small.
    """

    classes: list[float | None]
    mean: float | None
    without: tuple[float | None, ...]


def measured(
    slices: Sequence[HeldOutSlice], predictor: Predictor | None = None, most: float = math.inf
) -> list[HeldOutSlice]:
    """Return, in their order, as many slices as can be measured without eating up the training.

    Together up to `MOST_PIXELS`, but at least `FEWEST`; and no more than `most` windows of the
    predictor, even if that is none. Lots decide, drawn from the names of the slices: they are the
    same in each round, and slices that are labelled later displace few.
    """
    drawn = sorted(slices, key=_lot)
    sizes = accumulate(held.size for held in drawn)
    drawn = drawn[: max(FEWEST, sum(size <= MOST_PIXELS for size in sizes))]
    while drawn and predictor is not None and windows(predictor, drawn) > most:
        drawn.pop()
    kept = {_lot(held) for held in drawn}
    return [held for held in slices if _lot(held) in kept]


def windows(predictor: Predictor, slices: Sequence[HeldOutSlice]) -> int:
    """Return how many windows are predicted to measure these slices."""
    cases: dict[str, list[HeldOutSlice]] = {}
    for held in slices:
        cases.setdefault(held.case.name, []).append(held)
    return sum(
        predictor.windows(mine[0].case.image.shape, _places(mine)) for mine in cases.values()
    )


def _lot(held: HeldOutSlice) -> bytes:
    return hashlib.sha256(held.name.encode()).digest()


def slice_dice(
    predictor: Predictor, slices: Sequence[HeldOutSlice], classes: int, control: Control
) -> SliceDice:
    """Return Dice pooled over all held-out slices, and with parts of them left out.

    Pooling (sums before the ratio) keeps a slice with a sliver of a class from deciding the mean.
    """
    cases = [list(mine) for _, mine in groupby(slices, lambda held: held.case.name)]
    counts = [
        np.array(
            [
                _overlaps(maps.probability.argmax(0), held.truth, classes)
                for held, maps in zip(mine, _predicted(predictor, mine, control), strict=True)
            ]
        )
        for mine in cases
    ]
    total = np.concatenate(counts).sum(0)
    by_case = len(cases) >= ENOUGH_CASES
    parts = [each.sum(0) for each in counts] if by_case else np.concatenate(counts)
    without = tuple(_mean(_pooled(total - part)) for part in parts)
    return SliceDice(_pooled(total), _mean(_pooled(total)), without)


def _predicted(
    predictor: Predictor, slices: Sequence[HeldOutSlice], control: Control
) -> list[Maps]:
    """Return the maps of slices of one case."""
    return predictor.planes(slices[0].case.image, _places(slices), control)


def _places(slices: Sequence[HeldOutSlice]) -> list[tuple[int, int]]:
    """Return axis and number of each slice."""
    return [(held.plane.axis, held.index) for held in slices]


def _overlaps(
    found: npt.NDArray[np.int64], truth: npt.NDArray[np.int16], classes: int
) -> npt.NDArray[np.float64]:
    """Return overlap, size and presence of each class on a slice ``(H, W)``, ``(3, C - 1)``."""
    known = truth != IGNORE
    said = [found[known] == value for value in range(1, classes)]
    there = [truth[known] == value for value in range(1, classes)]
    pairs = list(zip(said, there, strict=True))
    return np.array(
        [
            [(s & t).sum() for s, t in pairs],
            [s.sum() + t.sum() for s, t in pairs],
            [t.sum() for t in there],
        ],
        float,
    )


def _pooled(counts: npt.NDArray[np.float64]) -> list[float | None]:
    """Return Dice of each class from its overlap, size and presence, ``(3, C)``."""
    return [
        float(2 * overlap / size) if present else None
        for overlap, size, present in counts.T.tolist()
    ]


def _mean(values: Sequence[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return sum(defined) / len(defined) if defined else None


@torch.inference_mode()
def critic_health(
    predictor: Predictor, sampler: Sampler, classes: int, *, held_out: bool
) -> CriticHealth:
    """Measure how well the critic tells softened truth from prediction near foreground.

    Parameters
    ----------
    predictor : Predictor
        With a critic.
    sampler : Sampler
        Over held-out slices where there are any.
    classes : int
        With background.
    held_out : bool
        Whether the sampler's slices were kept from training.
    """
    if predictor.critic is None:
        return CriticHealth()
    real: list[Tensor] = []
    fake: list[Tensor] = []
    for step in range(BATCHES_TO_JUDGE):
        batch = sampler.batch(step).to(predictor.device, memory_format(len(predictor.patch)))
        items = batch.head()
        p = predictor.members(items.x)[0]
        known = annotated(items.y).unsqueeze(1)
        truth = one_hot(items.y, classes)
        near = known & _band(truth[:, 1:].sum(1, keepdim=True), p)
        real.append(predictor.critic(soften(truth, p, known))[near])
        fake.append(predictor.critic(p)[near])
    value = auc(torch.cat(real).float().cpu().numpy(), torch.cat(fake).float().cpu().numpy())
    return judge(value, held_out)


def _band(foreground: Tensor, p: Tensor) -> Tensor:
    """Return ``(B, 1, *S)`` bool: voxels near true or predicted foreground."""
    predicted = (p.argmax(1, keepdim=True) > 0).float()
    union = torch.maximum(foreground.float(), predicted)
    pool = F.max_pool2d if union.ndim == 4 else F.max_pool3d
    return pool(union, BAND, stride=1, padding=BAND // 2) > 0
