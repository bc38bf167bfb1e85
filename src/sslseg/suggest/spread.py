"""Slices spread over a whole project, as a careful person would: one plane, case after case."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from itertools import product

import numpy as np

from sslseg.core.geometry import Plane
from sslseg.suggest.planes import main_plane
from sslseg.suggest.views import CaseView, offered_planes

Target = tuple[int, Plane, int]
"""Number of the case, plane and slice."""


def position(number: int, low: float, high: float) -> float:
    """Return the share of an axis for the `number`-th pick (1, 2, ...), the middle first.

    Bit reversal (van der Corput): each falls into a gap, so that any number of them is nearly
    equally spaced within ``[low, high]``.
    """
    digits = f"{number:b}"[::-1]
    return low + (high - low) * int(digits, 2) / float(2 ** len(digits))


def spread_slices(
    cases: Sequence[CaseView], order: Sequence[int], per_visit: int, low: float, high: float
) -> Iterator[Target]:
    """Yield unannotated slices, equally spaced over the whole project.

    `per_visit` slices of each case in `order`, and round again; cases with fewer annotated slices
    come first, whoever annotated them. The i-th slice of the project, those annotated before
    counted, lies at ``position(i, low, high)`` of its case's axis; a visit begins in that of the
    waiting cases which is labelled farthest from there. All lie in the main plane of the project;
    other planes follow once it has no slice left with a gap to taken ones, and such without a gap
    come last of all.
    """
    main = main_plane(cases)
    visits = [case.labelled for case in cases]
    taken = [{plane: set(case.annotated.get(plane, ())) for plane in Plane} for case in cases]
    number = sum(len(planes[main]) for planes in taken)
    chosen, left = -1, 0
    for apart, turn in product((True, False), range(len(Plane))):
        planes = {n: plane for n in order if (plane := _plane(cases[n], main, turn))}
        sizes = {n: cases[n].geometry.slices(plane) for n, plane in planes.items()}
        free = {n: _free(sizes[n], taken[n][plane], apart) for n, plane in planes.items()}
        while waiting := [n for n in planes if free[n]]:
            number += 1
            share = position(number, low, high)
            if left == 0 or chosen not in waiting:
                fewest, left = min(visits[n] for n in waiting), per_visit
                chosen = max(
                    (n for n in waiting if visits[n] == fewest),
                    key=lambda n: _gap(share, taken[n][planes[n]], sizes[n]),
                )
            wanted = round(share * (sizes[chosen] - 1))
            index = min(free[chosen], key=lambda i: abs(i - wanted))
            yield chosen, planes[chosen], index
            visits[chosen], left = visits[chosen] + 1, left - 1
            taken[chosen][planes[chosen]].add(index)
            free[chosen] = _free(sizes[chosen], taken[chosen][planes[chosen]], apart)


def _plane(case: CaseView, main: Plane, turn: int) -> Plane | None:
    """Return the `turn`-th plane of the case, the main one first; None where it has no more."""
    planes = sorted(offered_planes(case.geometry), key=lambda plane: plane is not main)
    return planes[turn] if turn < len(planes) else None


def _free(size: int, taken: Set[int], apart: bool) -> list[int]:
    """Return the slices that are not taken, with a gap to those that are if `apart`."""
    closed = taken | {i + step for i in taken for step in (-1, 1)} if apart else taken
    return [index for index in range(size) if index not in closed]


def _gap(share: float, taken: Set[int], size: int) -> float:
    """Return how far, in shares of the axis, a position is from what is taken."""
    return min((abs(share - index / max(size - 1, 1)) for index in taken), default=np.inf)
