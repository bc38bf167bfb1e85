"""Which plane to look at next: factors for the slices of a case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from sslseg.core.geometry import Plane, first_plane
from sslseg.suggest.views import CaseView, Table, offered_planes

Factors = npt.NDArray[np.float64]

SAME_VIEW = 0.5
"""Factor for the planes in which a case is annotated, where another view is wanted."""


def main_plane(cases: Sequence[CaseView]) -> Plane:
    """Return the plane with most annotated slices; among equals rather the one to begin with."""
    used = _annotated(cases)
    begins = first_plane([case.geometry for case in cases])
    most: Plane = max((begins, *Plane), key=lambda plane: int(used[plane.axis]))
    return most


def _annotated(cases: Sequence[CaseView]) -> npt.NDArray[np.intp]:
    """Return how many slices of each plane are annotated, by axis."""
    slices = [[len(case.annotated.get(Plane.of_axis(a), ())) for a in range(3)] for case in cases]
    return np.asarray(np.array(slices, np.intp).reshape(-1, 3).sum(0))


def habit(table: Table, cases: Sequence[CaseView]) -> Factors:
    """Return ``(N,)`` factors: as many slices as are annotated in a plane, over the most in any.

    So one plane stays one plane: the quick network of slices learns from one alone, and a few
    slices of others would waste the work, or make the planner take a network of boxes and begin
    anew. Where planes are mixed already, they stay mixed. 1 where nothing is annotated yet, and in
    cases that offer none of the planes in use.
    """
    used = _annotated(cases)
    by_axis = used / max(used.max(), 1)
    offered = [[plane.axis for plane in offered_planes(case.geometry)] for case in cases]
    by_case = np.array([by_axis if by_axis[axes].any() else np.ones(3) for axes in offered])
    return np.asarray(by_case[table.case, table.axis])


def orthogonal(table: Table, cases: Sequence[CaseView]) -> Factors:
    """Return ``(N,)`` factors: more for views that complement those annotated in the same case.

    Slices of the most annotated plane count half. Among the others one that is offered and not
    annotated at all comes first, and every other plane counts half; where there is none, the plane
    is preferred whose slices meet fewest annotated ones, in a line each (the motive of DeSCO, CVPR
    2023, and SGTC, AAAI 2025, for orthogonal slices).
    """
    by_case = np.stack([_by_axis(case) for case in cases]) if cases else np.ones((0, 3))
    return np.asarray(by_case[table.case, table.axis])


def crossing_lines(annotated: Mapping[Plane, Sequence[int]], plane: Plane) -> int:
    """Return in how many lines a slice of `plane` meets annotated slices of the other planes."""
    return sum(len(slices) for other, slices in annotated.items() if other is not plane)


def _by_axis(case: CaseView) -> Factors:
    own = {plane: len(case.annotated.get(plane, ())) for plane in Plane}
    most = max(own.values())
    others = [plane for plane in Plane if own[plane] < most]
    if not others:
        return np.ones(3)
    bare = [plane for plane in offered_planes(case.geometry) if not own[plane]]
    lines = {plane: crossing_lines(case.annotated, plane) for plane in bare or others}
    fewest = min(lines.values())
    return np.array([fewest / lines[p] if p in lines else SAME_VIEW for p in Plane])
