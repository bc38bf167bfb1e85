"""A ranked, diverse list of slices from all cases and planes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain, islice, zip_longest

import numpy as np

from sslseg.core.geometry import Plane
from sslseg.core.suggestion import Suggestion
from sslseg.suggest.coldstart import typical_order
from sslseg.suggest.greedy import Pick, pick
from sslseg.suggest.reasons import how_far, how_long, why_scored, why_spread
from sslseg.suggest.spread import spread_slices
from sslseg.suggest.strategies import (
    AUTO,
    COLD_START,
    CORE_SET,
    EQUAL,
    Strategy,
    check_critics,
    check_features,
    strategy_named,
)
from sslseg.suggest.views import CaseView, Table

VISIT, INNER = 3, (0.1, 0.9)
"""Slices of a case that a cold start asks for before it goes to the next, and the part of an axis
from which it takes them. `equal` goes on after each slice, and takes any."""


def rank(
    cases: Sequence[CaseView],
    count: int,
    strategy: str = AUTO,
    *,
    classes: Sequence[str],
    parties: str = "teacher and student",
    seed: int = 0,
    round_number: int = 0,
    undrawn: Sequence[str] = (),
) -> list[Suggestion]:
    """Return up to `count` unannotated slices worth labelling, best first.

    Parameters
    ----------
    cases : sequence of CaseView
        All cases of the project. Those without scores are ranked after those with.
    count : int
        How many.
    strategy : str
        A name in `strategies.STRATEGIES`, with additions or without. Without any prediction all
        that need one become a cold start.
    classes : sequence of str
        Names of the foreground classes in order of value.
    parties : str
        Who may disagree, as the method would say it.
    seed, round_number : int
        Same arguments, same list; `round_number` says for which round the slices are, from 1,
        and lets noise and novelty fade.
    undrawn : sequence of str
        Classes that no annotated slice shows. No model predicts such a class, so while there are
        any, every second suggestion is that of a cold start; not so where slices are drawn at
        random or equally spaced, to compare with.

    Raises
    ------
    SslsegError
        For an unknown strategy, "doubt" without a healthy discriminator, or "core-set" without
        features.
    """
    chosen = strategy_named(strategy)
    rng = np.random.default_rng(seed)
    if chosen.base == "doubt":
        check_critics([case.critic for case in cases if case.scores is not None])
    table = Table.of(cases)
    if chosen.score is None or not len(table):
        kind = strategy if strategy == EQUAL else COLD_START
        return _without_model(cases, count, kind, rng, undrawn)
    if chosen.base == CORE_SET:
        check_features(table)
    looks: list[Suggestion] = []
    views = cases
    if undrawn and chosen.spread:
        looks = _without_model(cases, -(-count // 2), COLD_START, rng, undrawn)
        views = [_with(case, looks) for case in cases]
        table = Table.of(views)
    picks = pick(table, views, chosen, count - len(looks), rng, round_number)
    found = _alternately(looks, _told(table, cases, picks, chosen, classes, parties))
    rest = [case for case in views if case.scores is None]
    return [*found, *_without_model(rest, count - len(found), COLD_START, rng, undrawn)]


def _without_model(
    cases: Sequence[CaseView],
    count: int,
    strategy: str,
    rng: np.random.Generator,
    undrawn: Sequence[str],
) -> list[Suggestion]:
    equal = strategy == EQUAL
    if equal:
        targets = spread_slices(cases, rng.permutation(len(cases)).tolist(), 1, 0.0, 1.0)
    else:
        order = typical_order(cases, -(-max(count, 0) // VISIT), rng)
        targets = spread_slices(cases, order, VISIT, *INNER)
    labelled = any(case.labelled for case in cases)
    found: list[Suggestion] = []
    for place, (number, plane, index) in enumerate(islice(targets, max(count, 0))):
        case = cases[number]
        taken = [s.slice for s in found if (s.case, s.plane) == (case.name, plane)]
        first = not labelled and not found
        why = why_spread(_with(case, found), strategy, first, undrawn)
        reason = f"{why}; {how_far(case, plane, index, taken)}"
        score = 1 / (1 + place)
        found.append(
            Suggestion(case=case.name, plane=plane, slice=index, score=score, reason=reason)
        )
    return found


def _with(case: CaseView, listed: Sequence[Suggestion]) -> CaseView:
    """Return the case as if its listed slices were annotated."""
    annotated = {plane: set(case.annotated.get(plane, ())) for plane in Plane}
    for each in listed:
        if each.case == case.name:
            annotated[each.plane].add(each.slice)
    slices = {plane: tuple(sorted(found)) for plane, found in annotated.items()}
    return replace(case, annotated=slices)


def _alternately(first: Sequence[Suggestion], second: Sequence[Suggestion]) -> list[Suggestion]:
    pairs = zip_longest(first, second)
    return [found for found in chain.from_iterable(pairs) if found is not None]


def _told(
    table: Table,
    cases: Sequence[CaseView],
    picks: Sequence[Pick],
    strategy: Strategy,
    classes: Sequence[str],
    parties: str,
) -> list[Suggestion]:
    found: list[Suggestion] = []
    for each in picks:
        row, score = each.row, each.score
        case = cases[table.case[row]]
        plane, index = Plane.of_axis(int(table.axis[row])), int(table.index[row])
        taken = [s.slice for s in found if (s.case, s.plane) == (case.name, plane)]
        why = why_scored(table, each, strategy.base, classes, parties)
        reason = f"{why}; {how_far(case, plane, index, taken)}"
        if strategy.per_second:
            reason += f"; {how_long(each.seconds, score)}"
        top, bottom, left, right = (int(end) for end in table.boxes[row])
        found.append(
            Suggestion(
                case=case.name,
                plane=plane,
                slice=index,
                score=score,
                reason=reason,
                box=(top, bottom, left, right) if bottom > top else None,
            )
        )
    return found
