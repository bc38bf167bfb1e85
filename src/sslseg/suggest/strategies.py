"""The strategies by name: small functions from the table of slices to acquisition scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sslseg.core.errors import SslsegError
from sslseg.core.prediction import CriticHealth
from sslseg.suggest.views import Table

Scores = npt.NDArray[np.float64]
AUTO = "auto"
COLD_START = "cold-start"
EQUAL = "equal"

BAND_PRIOR = 100.0
"""Voxels added to each band before taking means, so that a 3-voxel band does not win."""


@dataclass(frozen=True)
class Strategy:
    """A way to choose slices.

    Parameters
    ----------
    name, summary
        As people choose it.
    score : callable or None
        ``(table, rng, round) -> (R, N)`` scores, at least 0: the i-th pick goes by row
        ``i % R``. None where slices are spread without a model.
    spread : bool
        Whether similar slices and the same case are penalised.
    """

    name: str
    summary: str
    score: Callable[[Table, np.random.Generator, int], Scores] | None
    spread: bool = True


def band_mean(table: Table, name: str) -> Scores:
    """Return the mean of a voxel score over each slice's band, ``(N,)``."""
    return np.asarray(table.values[name] / (table.values["band"] + BAND_PRIOR))


def uncertainty(table: Table, _rng: np.random.Generator, _round: int) -> Scores:
    """Entropy in the band."""
    return band_mean(table, "uncertainty")[None]


def disagreement(table: Table, _rng: np.random.Generator, _round: int) -> Scores:
    """Mutual information in the band."""
    return band_mean(table, "mutual")[None]


def doubt(table: Table, _rng: np.random.Generator, _round: int) -> Scores:
    """One minus the discriminator's confidence in the band."""
    return band_mean(table, "doubt")[None]


def hybrid(table: Table, rng: np.random.Generator, number: int) -> Scores:
    """Uncertainty that is likely foreground and mutual information, where the object is large.

    A weak model is unsure nearly everywhere; what it takes for the object, and how large it is
    in a slice, keeps the suggestions near what there is to draw.
    """
    likely = table.values["classes"].sum(axis=1) / (table.values["band"] + BAND_PRIOR)
    both = _scaled(likely) + _scaled(band_mean(table, "mutual"))
    size = 0.9 * _scaled(table.values["foreground"]) + 0.1 * _scaled(table.values["band"])
    return (both * np.sqrt(size))[None]


def uniform(table: Table, rng: np.random.Generator, _round: int) -> Scores:
    """Every slice alike."""
    return rng.uniform(size=(1, len(table)))


def foreground(table: Table, rng: np.random.Generator, _round: int) -> Scores:
    """Draw slices in proportion to their predicted foreground; the rest comes last."""
    noise = rng.uniform(size=len(table))
    size = table.values["foreground"]
    return np.where(size > 0, noise ** (1 / np.maximum(size, 1e-3)), 0.0)[None]


def class_stratified(table: Table, rng: np.random.Generator, number: int) -> Scores:
    """Two picks in three by one class's uncertainty in turn, the third by all; with noise.

    After ClaSP-PE (nnActive, 2026): Gumbel noise in the logarithm, strong at first and hardly
    any from the sixth round on.
    """
    plain = uncertainty(table, rng, number)[0]
    classes = table.values["classes"] / (table.values["band"] + BAND_PRIOR)[:, None]
    turns = range(3 * classes.shape[1])
    rows = [plain if i % 3 == 2 else classes[:, (i - i // 3) % classes.shape[1]] for i in turns]
    beta = 100.0 ** min(number / 5, 1.0)
    return np.stack(rows) * np.exp(rng.gumbel(scale=1 / beta, size=len(table)))


_ALL = (
    Strategy(AUTO, "uncertainty and disagreement, spread over cases and slices", hybrid),
    Strategy("uncertainty", "where the model is least sure", uncertainty),
    Strategy("disagreement", "where the models disagree most", disagreement),
    Strategy("doubt", "where the discriminator doubts the prediction", doubt),
    Strategy("class-stratified", "uncertainty of each class in turn, with noise", class_stratified),
    Strategy(EQUAL, "equally spaced slices", None),
    Strategy("random", "any slice", uniform, spread=False),
    Strategy("random-foreground", "any slice, by its predicted foreground", foreground, False),
    Strategy(COLD_START, "diverse cases and spread slices; needs no model", None),
)
STRATEGIES: Mapping[str, Strategy] = {strategy.name: strategy for strategy in _ALL}


def strategy_named(name: str) -> Strategy:
    """Return the strategy; raise `SslsegError` naming all if there is none of that name."""
    if name not in STRATEGIES:
        names = ", ".join(STRATEGIES)
        raise SslsegError(f"strategy {name!r}", f"one of {names}", "Choose one of these.")
    return STRATEGIES[name]


def check_critics(healths: Sequence[CriticHealth]) -> None:
    """Raise `SslsegError` unless every discriminator can be believed."""
    ill = [health for health in healths if not health.healthy]
    if ill:
        raise SslsegError(
            f"strategy 'doubt' with this discriminator: {ill[0].words.rstrip('.')}",
            "a discriminator with an AUC between 0.6 and 0.95 on held-out annotated slices",
            "Train on with a discriminator, or choose another strategy.",
        )


def _scaled(values: npt.NDArray[Any]) -> Scores:
    """Return `values` over their 99th percentile, capped at 1."""
    top = float(np.quantile(values, 0.99)) if values.size else 0.0
    return np.minimum(values / top, 1.0) if top > 0 else np.zeros_like(values)
