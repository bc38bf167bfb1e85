"""From the table of slices to acquisition scores, one small function each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from sslseg.suggest.views import Table

Scores = npt.NDArray[np.float64]
Score = Callable[[Table, np.random.Generator, int], Scores]
"""``(table, rng, round) -> (R, N)`` scores, at least 0: the i-th pick goes by row ``i % R``."""

BAND_PRIOR = 100.0
"""Voxels added to each band before taking means, so that a 3-voxel band does not win."""

IN_PLAY = 0.01
"""Share of the largest class's uncertainty from which a class counts; one that the network never
learnt has the same trace of it everywhere."""

LAST_ROUND = 6
"""The round in which noise and novelty have faded."""


def band_mean(table: Table, name: str) -> Scores:
    """Return the mean of a voxel score over each slice's band, ``(N,)``."""
    return np.asarray(table.values[name] / (table.values["band"] + BAND_PRIOR))


def class_means(table: Table) -> Scores:
    """Return the uncertainty of each class as means over each slice's band, ``(N, K)``."""
    return np.asarray(table.values["classes"] / (table.values["band"] + BAND_PRIOR)[:, None])


def classes_in_play(table: Table) -> npt.NDArray[np.intp]:
    """Return the columns of the classes that the model may see somewhere.

    Of some slice it is at least 1 % as unsure about the class as it is about any class of any
    slice. The largest value decides and no percentile, since a structure may show in few slices.
    """
    tops = class_means(table).max(axis=0, initial=0.0)
    return np.flatnonzero((tops > 0) & (tops >= IN_PLAY * tops.max(initial=0.0)))


def uncertainty(table: Table, _rng: np.random.Generator, _round: int) -> Scores:
    """Entropy in the band."""
    return band_mean(table, "uncertainty")[None]


def disagreement(table: Table, _rng: np.random.Generator, _round: int) -> Scores:
    """Mutual information in the band: entropy of the mean minus mean entropy of the members.

    With two members, teacher and student or two networks, it is their Jensen-Shannon divergence.
    """
    return band_mean(table, "mutual")[None]


def doubt(table: Table, _rng: np.random.Generator, _round: int) -> Scores:
    """One minus the discriminator's confidence in the band."""
    return band_mean(table, "doubt")[None]


def hybrid(table: Table, _rng: np.random.Generator, _round: int) -> Scores:
    """Uncertainty that is likely foreground and mutual information, where the object is large.

    A weak model is unsure nearly everywhere; what it takes for the object, and how large it is
    in a slice, keeps the suggestions near what there is to draw. Each class in play is measured by
    its own scale, else a large organ would hide a small one; by no less than 1 % of the largest,
    else one that shows in few slices would count where it is not.
    """
    means = class_means(table)
    least = IN_PLAY * float(means.max(initial=0.0))
    each = [scaled(means[:, column], least) for column in classes_in_play(table)]
    likely = np.mean(each, axis=0) if each else np.zeros(len(table))
    both = scaled(likely) + scaled(band_mean(table, "mutual"))
    size = 0.9 * scaled(table.values["foreground"]) + 0.1 * scaled(table.values["band"])
    return (both * np.sqrt(size))[None]


def alike(table: Table, _rng: np.random.Generator, _round: int) -> Scores:
    """Every slice the same, so that what else counts decides."""
    return np.ones((1, len(table)))


def uniform(table: Table, rng: np.random.Generator, _round: int) -> Scores:
    """Draw any slice; factors on the scores count as odds."""
    return noisy(np.ones((1, len(table))), rng, 1.0)


def foreground(table: Table, rng: np.random.Generator, _round: int) -> Scores:
    """Draw slices in proportion to their predicted foreground; the rest comes last."""
    return noisy(table.values["foreground"][None], rng, 1.0)


def class_turns(table: Table, number: int) -> tuple[int | None, ...]:
    """Return for each row of `class_stratified` the column of its class, None for all of them."""
    classes = np.roll(classes_in_play(table), -max(number - 1, 0)).tolist()
    places = range(3 * len(classes))
    return tuple(None if i % 3 == 2 else classes[(i - i // 3) % len(classes)] for i in places)


def class_stratified(table: Table, rng: np.random.Generator, number: int) -> Scores:
    """Two picks in three by one class's uncertainty in turn, the third by all; with noise.

    ClaSP-PE (nnActive, TMLR 2026): 66 % of the queries are split equally over the foreground
    classes by ``sum PE * p_c``, the others go by plain entropy. The logarithm of each score
    carries Gumbel noise of scale ``1 / beta``, with beta from 1 in the first round to 100 in the
    sixth. Classes that no prediction holds, but for traces (`classes_in_play`), take no turns.
    """
    turns = class_turns(table, number)
    classes = list(dict.fromkeys(turn for turn in turns if turn is not None))
    means = class_means(table)[:, classes].T
    beta = float(100.0 ** progress(number))
    plain = noisy(uncertainty(table, rng, number), rng, beta)[0]
    noised = dict(zip(classes, noisy(means, rng, beta), strict=True))
    return np.stack([plain if turn is None else noised[turn] for turn in turns or (None,)])


def noisy(scores: Scores, rng: np.random.Generator, beta: float) -> Scores:
    """Return ``s * exp(g)`` with g from Gumbel(0, 1 / beta): ``ln s + g`` ranked.

    The largest are then a draw without replacement in proportion to ``s ** beta``.
    """
    return np.asarray(scores * np.exp(rng.gumbel(scale=1 / beta, size=scores.shape)))


def powered(score: Score) -> Score:
    """Return `score` with Gumbel noise of scale 1: PowerPE, PowerBALD (Kirsch et al. 2023)."""

    def draw(table: Table, rng: np.random.Generator, number: int) -> Scores:
        return noisy(score(table, rng, number), rng, 1.0)

    return draw


def progress(number: int) -> float:
    """Return how far round `number` (from 1) is on the way to `LAST_ROUND`, in [0, 1]."""
    return min(max(number - 1, 0) / (LAST_ROUND - 1), 1.0)


def scaled(values: npt.NDArray[Any], least: float = 0.0) -> Scores:
    """Return `values` over their 99th percentile, or over `least` if that is more, capped at 1."""
    top = max(float(np.quantile(values, 0.99)), least) if values.size else 0.0
    return np.minimum(values / top, 1.0) if top > 0 else np.zeros_like(values, np.float64)
