"""A ranked, diverse list of slices from all cases and planes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import numpy as np
import numpy.typing as npt

from sslseg.core.geometry import Plane
from sslseg.core.suggestion import Suggestion
from sslseg.suggest import coldstart
from sslseg.suggest.reasons import how_far, why_scored, why_spread
from sslseg.suggest.strategies import (
    AUTO,
    COLD_START,
    EQUAL,
    Scores,
    Strategy,
    check_critics,
    strategy_named,
)
from sslseg.suggest.views import CaseView, Table

USED_PLANE = 1.15
"""Factor for planes that were annotated before: the clinician's habit counts a little."""


def rank(
    cases: Sequence[CaseView],
    count: int,
    strategy: str = AUTO,
    *,
    classes: Sequence[str],
    parties: str = "teacher and student",
    seed: int = 0,
    round_number: int = 0,
) -> list[Suggestion]:
    """Return up to `count` unannotated slices worth labelling, best first.

    Parameters
    ----------
    cases : sequence of CaseView
        All cases of the project. Those without scores are ranked after those with.
    count : int
        How many.
    strategy : str
        A name in `strategies.STRATEGIES`. Without any prediction all that need one become a
        cold start.
    classes : sequence of str
        Names of the foreground classes in order of value.
    parties : str
        Who may disagree, as the method would say it.
    seed, round_number : int
        Same arguments, same list; `round_number` cools the noise of noisy strategies.

    Raises
    ------
    SslsegError
        For an unknown strategy, or "doubt" without a healthy discriminator.
    """
    chosen = strategy_named(strategy)
    rng = np.random.default_rng(seed)
    if chosen.name == "doubt":
        check_critics([case.critic for case in cases if case.scores is not None])
    table = Table.of(cases)
    if chosen.score is None or not len(table):
        return _without_model(cases, count, strategy if strategy == EQUAL else COLD_START, rng)
    rows = _greedy(table, cases, chosen, count, rng, round_number)
    found = _told(table, cases, rows, chosen.name, classes, parties)
    rest = [case for case in cases if case.scores is None]
    return [*found, *_without_model(rest, count - len(found), COLD_START, rng)]


def _without_model(
    cases: Sequence[CaseView], count: int, strategy: str, rng: np.random.Generator
) -> list[Suggestion]:
    equal = strategy == EQUAL
    order = _least_labelled(cases, rng) if equal else coldstart.diverse_order(cases, rng)
    per_visit, low, high = (1, 0.0, 1.0) if equal else (3, 0.2, 0.8)
    targets = coldstart.spread_slices(cases, order, per_visit, low, high)
    known = {case.name for case in cases if case.labelled}
    found: list[Suggestion] = []
    for place, (number, plane, index) in enumerate(islice(targets, max(count, 0))):
        case = cases[number]
        taken = [s.slice for s in found if (s.case, s.plane) == (case.name, plane)]
        first = not known | {s.case for s in found} - {case.name}
        reason = f"{why_spread(case, strategy, first)}; {how_far(case, plane, index, taken)}"
        score = 1 / (1 + place)
        found.append(
            Suggestion(case=case.name, plane=plane, slice=index, score=score, reason=reason)
        )
    return found


def _least_labelled(cases: Sequence[CaseView], rng: np.random.Generator) -> list[int]:
    """Return the numbers of all cases, those with fewest annotated slices first."""
    return sorted(rng.permutation(len(cases)).tolist(), key=lambda n: cases[n].labelled)


def _greedy(
    table: Table,
    cases: Sequence[CaseView],
    strategy: Strategy,
    count: int,
    rng: np.random.Generator,
    round_number: int,
) -> list[tuple[int, float]]:
    """Return up to `count` rows with their scores: best first, each pushing its like away."""
    assert strategy.score is not None
    rows = strategy.score(table, rng, round_number)
    if strategy.spread:
        rows = rows * _preference(table, cases)
    tie_break = rng.permutation(len(table))
    field = _Field(table, cases)
    picks: list[tuple[int, float]] = []
    while len(picks) < count and len(allowed := field.allowed()):
        scores = rows[len(picks) % len(rows), allowed]
        if strategy.spread:
            scores = scores * field.factor()[allowed]
        tied = np.flatnonzero(scores == scores.max())
        best = tied[tie_break[allowed[tied]].argmin()]
        picks.append((int(allowed[best]), float(scores[best])))
        field.take(int(allowed[best]))
    return picks


def _preference(table: Table, cases: Sequence[CaseView]) -> Scores:
    """Return ``(N,)`` factors: a little more for the planes that are in use."""
    used = {plane.axis for case in cases for plane, slices in case.annotated.items() if slices}
    return np.where(np.isin(table.axis, list(used)), USED_PLANE, 1.0)


class _Field:
    """What is left to choose from, updated after each pick."""

    def __init__(self, table: Table, cases: Sequence[CaseView]) -> None:
        sizes = [case.geometry.shape for case in cases]
        self._table = table
        self._sizes = np.array(sizes)[table.case, table.axis]
        self._open = table.free.copy()
        self._gap = np.full(len(table), np.inf)
        self._edge = np.minimum(table.index + 1, self._sizes - table.index).astype(np.float64)
        self._picked = np.zeros(len(cases), np.intp)
        for row in np.flatnonzero(~table.free):
            self._measure(int(row))

    def allowed(self) -> npt.NDArray[np.intp]:
        """Return the open rows; those beside a taken slice only where nothing else is open."""
        roomy = np.flatnonzero(self._open & (self._gap > 1))
        return roomy if roomy.size else np.flatnonzero(self._open)

    def factor(self) -> Scores:
        """Return ``(N,)``: low near taken slices, at the ends of a volume, and for picked cases.

        At the ends a network sees least and is unsure for that reason alone.
        """
        gap = np.minimum(self._gap, self._edge)
        return redundancy(gap, self._sizes) / (1 + self._picked[self._table.case])

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


def redundancy(gap: Scores, size: npt.NDArray[np.intp]) -> Scores:
    """Return ``1 - exp(-d^2 / (2 sigma^2))`` for slices `gap` slices from the nearest taken one.

    `sigma` is 8 % of the stack of `size` slices, at least 2 and at most 6 slices; d and sigma
    are in slices, since the mm between parallel slices cancel.
    """
    sigma = np.clip(0.08 * size, 2.0, 6.0)
    return np.asarray(1 - np.exp(-(gap**2) / (2 * sigma**2)))


def _told(
    table: Table,
    cases: Sequence[CaseView],
    picks: Sequence[tuple[int, float]],
    strategy: str,
    classes: Sequence[str],
    parties: str,
) -> list[Suggestion]:
    found: list[Suggestion] = []
    for row, score in picks:
        case = cases[table.case[row]]
        plane, index = Plane.of_axis(int(table.axis[row])), int(table.index[row])
        taken = [s.slice for s in found if (s.case, s.plane) == (case.name, plane)]
        why = why_scored(table, row, strategy, classes, parties)
        reason = f"{why}; {how_far(case, plane, index, taken)}"
        found.append(
            Suggestion(case=case.name, plane=plane, slice=index, score=score, reason=reason)
        )
    return found
