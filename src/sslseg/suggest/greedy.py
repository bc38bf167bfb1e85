"""One slice after the other: each pick pushes its like away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sslseg.core.suggestion import PAGE
from sslseg.suggest.along import Along
from sslseg.suggest.cost import drawing_seconds
from sslseg.suggest.novelty import Novelty
from sslseg.suggest.scores import Scores, scaled
from sslseg.suggest.strategies import Strategy
from sslseg.suggest.views import CaseView, Table

FLOOR = 0.05
"""Added to scores in [0, 1] where places are asked for: a place counts more than a score."""

FOR_VALIDATION = 0.5
"""Factor of cases whose slices are held out: those teach only in the second half of a run."""

WAITING = 1e-3
"""Factor of planes that are not in use, once those in use have no slice left."""


class Pick(NamedTuple):
    """A row of the table, its score when it was taken, and how long it takes to draw.

    `about` is the class whose turn it was, None where all counted.
    """

    row: int
    score: float
    seconds: float
    about: int | None = None


def pick(
    table: Table,
    cases: Sequence[CaseView],
    strategy: Strategy,
    count: int,
    rng: np.random.Generator,
    round_number: int,
) -> list[Pick]:
    """Return up to `count` rows of the table, best first.

    Parameters
    ----------
    table, cases
        What there is, and whose it is.
    strategy : Strategy
        One that scores.
    count : int
        How many.
    rng, round_number
        As in `selection.rank`.
    """
    assert strategy.score is not None
    field, seconds = _Field(table, cases), drawing_seconds(table.values["boundary"])
    share = strategy.novelty(round_number) if np.isfinite(table.features).any() else 0.0
    along = Along(table, cases) if strategy.along else None
    novelty = Novelty(table.features, np.flatnonzero(~table.free)) if share else None
    rows = strategy.score(table, rng, round_number)
    turns = strategy.turns(table, round_number) or (None,)
    planes = strategy.planes(table, cases)
    factors = np.where(planes > 0, planes, WAITING) / (seconds if strategy.per_second else 1.0)
    tie_break = rng.permutation(len(table))
    picks: list[Pick] = []
    while len(picks) < count and len(allowed := _in_use(field.allowed(), planes)):
        scores = rows[len(picks) % len(rows)]
        if novelty is not None:
            scores = (1 - share) * scaled(scores) + share * scaled(novelty.gaps())
        if along is not None:
            scores = (scaled(scores) + FLOOR) * along.factor()
        spread = field.factor(ends=along is None) if strategy.spread else 1.0
        scores = (scores * factors * spread)[allowed]
        tied = allowed[scores == scores.max()]
        best = int(tied[tie_break[tied].argmin()])
        about = turns[len(picks) % len(turns)]
        picks.append(Pick(best, float(scores.max()), float(seconds[best]), about))
        field.take(best)
        if novelty is not None:
            novelty.take(best)
    return _by_worth(picks) if strategy.along else picks


def _by_worth(picks: Sequence[Pick]) -> list[Pick]:
    """Return the best first within each page: places come in an order that says nothing of worth.

    Over several pages they would no longer be spread along the object.
    """
    pages = [picks[start : start + PAGE] for start in range(0, len(picks), PAGE)]
    return [one for page in pages for one in sorted(page, key=lambda one: -one.score)]


def _in_use(rows: npt.NDArray[np.intp], planes: Scores) -> npt.NDArray[np.intp]:
    """Return the rows whose plane counts at all; every row where no such plane has one left."""
    used = rows[planes[rows] > 0]
    return used if used.size else rows


class _Field:
    """What is left to choose from, updated after each pick."""

    def __init__(self, table: Table, cases: Sequence[CaseView]) -> None:
        sizes = np.array([case.geometry.shape for case in cases])
        steps = np.array([case.geometry.spacing for case in cases])
        self._table = table
        self._sizes = sizes[table.case, table.axis]
        self._steps = steps[table.case, table.axis]
        done = np.array([case.done for case in cases], bool)
        self._open = table.free & ~done[table.case]
        self._gap = np.full(len(table), np.inf)
        self._edge = np.minimum(table.index + 1, self._sizes - table.index).astype(np.float64)
        self._picked = np.zeros(len(cases), np.intp)
        self._worth = np.array([FOR_VALIDATION if case.held_out else 1.0 for case in cases])
        for row in np.flatnonzero(~table.free):
            self._measure(int(row))

    def allowed(self) -> npt.NDArray[np.intp]:
        """Return the open rows; those beside a taken slice only where nothing else is open."""
        roomy = np.flatnonzero(self._open & (self._gap > 1))
        return roomy if roomy.size else np.flatnonzero(self._open)

    def factor(self, *, ends: bool) -> Scores:
        """Return ``(N,)``: low near taken slices, in picked or held-out cases, at `ends` of stacks.

        At the ends a network sees least and is unsure for that reason alone.
        """
        gap = np.minimum(self._gap, self._edge) if ends else self._gap
        by_case = self._worth / (1 + self._picked)
        return redundancy(gap, self._sizes, self._steps) * by_case[self._table.case]

    def take(self, row: int) -> None:
        """Close `row`."""
        self._open[row] = False
        self._picked[self._table.case[row]] += 1
        self._measure(row)

    def _measure(self, row: int) -> None:
        start = row - int(self._table.index[row])
        stack = slice(start, start + int(self._sizes[row]))
        gap = np.abs(self._table.index[stack] - self._table.index[row])
        self._gap[stack] = np.minimum(self._gap[stack], gap)


def redundancy(gap: Scores, size: npt.NDArray[np.intp], step_mm: npt.NDArray[np.float64]) -> Scores:
    """Return ``1 - exp(-d^2 / (2 sigma^2))`` for slices `gap` slices from the nearest taken one.

    `sigma` is 8 % of the stack of `size` slices, at least 2 slices and at most 6 slices or 6 mm,
    whichever is more: six slices of 0.3 mm still show nearly the same. Both d and sigma are in
    slices, `step_mm` apart.
    """
    sigma = np.clip(0.08 * size, 2.0, np.maximum(6.0, 6.0 / step_mm))
    return np.asarray(1 - np.exp(-(gap**2) / (2 * sigma**2)))
