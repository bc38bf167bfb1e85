"""A ranked, diverse list of slices from all cases and planes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

import numpy as np

from sslseg.core.geometry import Plane
from sslseg.core.suggestion import PAGE, Box, Suggestion
from sslseg.suggest.coldstart import typical_order
from sslseg.suggest.greedy import Pick, pick
from sslseg.suggest.reasons import HELD_OUT, how_far, how_long, why_scored, why_spread
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

LOOKS = 20
"""Annotated slices after which nobody looks for a class any more that none of them shows."""


def rank(
    cases: Sequence[CaseView],
    count: int,
    strategy: str = AUTO,
    *,
    classes: Sequence[str],
    parties: str = "two versions of the model",
    seed: int = 0,
    round_number: int = 0,
    undrawn: Sequence[str] = (),
    known: Sequence[str] = (),
) -> list[Suggestion]:
    """Return up to `count` unannotated slices worth labelling, best first; `auto` page by page.

    Parameters
    ----------
    cases : sequence of CaseView
        All cases of the project. Those with scores and a cold start of those without alternate, in
        proportion to how many cases there are of each; at least one of the former comes first.
        Random draws, to compare with, are of the former alone as long as these have slices.
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
        random or equally spaced, to compare with. It ends, since the class may be nowhere, once 20
        slices are annotated. A case counts with three of them at most; where there are too few
        cases for that, with its part of the 20.
    known : sequence of str
        Classes of the newest model; empty without one. An undrawn class that is none of them came
        later and is looked for until the next training, whatever was annotated before.

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
    sought, everyone = _sought(cases, undrawn, known), range(len(cases))
    table = Table.of(cases)
    if chosen.score is None or not len(table):
        kind = strategy if strategy == EQUAL else COLD_START
        return _without_model(cases, everyone, count, kind, rng, sought)
    if chosen.base == CORE_SET:
        check_features(table)
    looks: list[Suggestion] = []
    if sought and chosen.spread:
        looks = _without_model(cases, everyone, -(-count // 2), COLD_START, rng, sought)
    views = [_with(case, looks) for case in cases]
    table = Table.of(views) if looks else table
    bare = [number for number, case in enumerate(cases) if case.scores is None]
    room = count - len(looks)
    share = _share(room, len(cases) - len(bare), len(cases)) if chosen.spread else room

    def scored(number: int) -> list[Suggestion]:
        picks = pick(table, views, chosen, number, rng, round_number)
        return _told(table, cases, picks, chosen, classes, parties)

    found = scored(share)
    listed = [_with(view, found) for view in views]
    rest = _without_model(listed, bare, room - len(found), COLD_START, rng, sought)
    if len(found) == share and len(found) + len(rest) < room:
        found = scored(room - len(rest))
    return _alternately(looks, _alternately(found, rest))


def _sought(
    cases: Sequence[CaseView], undrawn: Sequence[str], known: Sequence[str]
) -> Sequence[str]:
    """Return the undrawn classes, or the new ones once all were looked for in vain for long enough.

    One volume that was drawn from end to end says little of the others, so it counts as a visit.
    """
    most = max(VISIT, -(-LOOKS // max(len(cases), 1)))
    looked = sum(min(case.labelled, most) for case in cases)
    return [name for name in undrawn if looked < LOOKS or (known and name not in known)]


def _share(count: int, predicted: int, cases: int) -> int:
    """Return how many of `count` go to predicted cases: in proportion, rounded, one at least."""
    nearest = (2 * count * predicted + cases) // (2 * cases)
    return min(count, max(1, nearest))


def _without_model(
    cases: Sequence[CaseView],
    among: Sequence[int],
    count: int,
    strategy: str,
    rng: np.random.Generator,
    undrawn: Sequence[str],
) -> list[Suggestion]:
    """Return up to `count` slices of the cases `among` all, as if the others were done with."""
    among = [number for number in among if not cases[number].done]
    if count <= 0 or not among:
        return []
    if strategy == EQUAL:
        targets = spread_slices(cases, rng.permutation(among).tolist(), 1, 0.0, 1.0)
    else:
        # Kinds of cases for the first page: of more, each case would be a kind of its own.
        order = typical_order(cases, -(-min(count, PAGE) // VISIT), rng, among)
        targets = spread_slices(cases, order, VISIT, *INNER)
    labelled = any(case.labelled for case in cases)
    found: list[Suggestion] = []
    for place, (number, plane, index) in enumerate(islice(targets, count)):
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
    """Return both as one list, over which each is spread evenly; one of `first` begins it."""
    early = [(place / len(first), 1) for place in range(len(first))]
    late = [((place + 1) / (len(second) + 1), 0) for place in range(len(second))]
    both = zip([*early, *late], [*first, *second], strict=True)
    return [found for _, found in sorted(both, key=lambda pair: pair[0])]


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
        if case.held_out:
            reason += f"; {HELD_OUT}"
        if strategy.per_second:
            reason += f"; {how_long(each.seconds, score)}"
        found.append(
            Suggestion(
                case=case.name,
                plane=plane,
                slice=index,
                score=score,
                reason=reason,
                box=_box(table, _framed(table, row) if strategy.along else row),
            )
        )
    return found


def _framed(table: Table, row: int) -> int:
    """Return the nearest slice of a stack that has a region; the slice itself where none has.

    Past the end of what is predicted there is none: one looks on where the structure was last.
    """
    stack = (table.case == table.case[row]) & (table.axis == table.axis[row])
    found = np.flatnonzero(stack & table.boxes.any(axis=1))
    away = np.abs(table.index[found] - table.index[row])
    return int(found[away.argmin()]) if found.size else row


def _box(table: Table, row: int) -> Box | None:
    top, bottom, left, right = (int(end) for end in table.boxes[row])
    return (top, bottom, left, right) if bottom > top else None
