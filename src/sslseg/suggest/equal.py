"""What a careful person does without the tool: one plane, case after case, equally spaced."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from itertools import product

import numpy as np

from sslseg.core.geometry import Plane
from sslseg.suggest.coldstart import Target, position
from sslseg.suggest.views import CaseView, offered_planes


def equal_slices(cases: Sequence[CaseView], rng: np.random.Generator) -> Iterator[Target]:
    """Yield unannotated slices, equally spaced over the whole project.

    One slice of each case in an order drawn by `rng`, and round again; cases with fewer annotated
    slices come first, whoever annotated them. The i-th slice of the project, those annotated
    before counted, lies at ``position(i)`` of its case's axis, and goes to that of the waiting
    cases which is labelled farthest from there. All lie in the plane most annotated so far (the
    first that is offered, where none is); other planes follow once it has no slice left with a
    gap to taken ones, and such without a gap come last of all.
    """
    used = _plane_in_use(cases)
    order = rng.permutation(len(cases)).tolist()
    visits = [case.labelled for case in cases]
    taken = [{plane: set(case.annotated.get(plane, ())) for plane in Plane} for case in cases]
    number = sum(len(planes[used]) for planes in taken) if used else 0
    for apart, turn in product((True, False), range(len(Plane))):
        planes = {n: plane for n in order if (plane := _plane(cases[n], used, turn))}
        sizes = {n: cases[n].geometry.slices(plane) for n, plane in planes.items()}
        free = {n: _free(sizes[n], taken[n][plane], apart) for n, plane in planes.items()}
        while waiting := [n for n in planes if free[n]]:
            number += 1
            share = position(number, 0.0, 1.0)
            fewest = min(visits[n] for n in waiting)
            chosen = max(
                (n for n in waiting if visits[n] == fewest),
                key=lambda n: _gap(share, taken[n][planes[n]], sizes[n]),
            )
            wanted = round(share * (sizes[chosen] - 1))
            index = min(free[chosen], key=lambda i: abs(i - wanted))
            yield chosen, planes[chosen], index
            visits[chosen] += 1
            taken[chosen][planes[chosen]].add(index)
            free[chosen] = _free(sizes[chosen], taken[chosen][planes[chosen]], apart)


def _plane_in_use(cases: Sequence[CaseView]) -> Plane | None:
    """Return the plane with most annotated slices, None where nothing is annotated."""
    counts = {plane: sum(len(case.annotated.get(plane, ())) for case in cases) for plane in Plane}
    most = max(Plane, key=lambda plane: counts[plane])
    return most if counts[most] else None


def _plane(case: CaseView, used: Plane | None, turn: int) -> Plane | None:
    """Return the `turn`-th plane of the case, the one in use first; None where it has no more."""
    planes = sorted(offered_planes(case.geometry), key=lambda plane: plane is not used)
    return planes[turn] if turn < len(planes) else None


def _free(size: int, taken: Set[int], apart: bool) -> list[int]:
    """Return the slices that are not taken, with a gap to those that are if `apart`."""
    closed = taken | {i + step for i in taken for step in (-1, 1)} if apart else taken
    return [index for index in range(size) if index not in closed]


def _gap(share: float, taken: Set[int], size: int) -> float:
    """Return how far, in shares of the axis, a position is from what is taken."""
    return min((abs(share - index / max(size - 1, 1)) for index in taken), default=np.inf)
