"""Which plane to look at next: factors for the slices of a case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from sslseg.core.geometry import Plane, first_plane
from sslseg.suggest.views import CaseView, Table

Factors = npt.NDArray[np.float64]

OTHER_PLANE = 0.5
"""Factor for planes in which nothing was annotated: one network of slices learns from one plane."""

SAME_VIEW = 0.5
"""Factor for the plane in which most of a case is annotated, where another view is wanted."""


def main_plane(cases: Sequence[CaseView]) -> Plane:
    """Return the plane with most annotated slices; where there are none, the one to begin with."""
    used = _annotated(cases)
    if used.any():
        return Plane.of_axis(int(used.argmax()))
    return first_plane([case.geometry for case in cases])


def _annotated(cases: Sequence[CaseView]) -> npt.NDArray[np.intp]:
    """Return how many slices of each plane are annotated, by axis."""
    slices = [[len(case.annotated.get(Plane.of_axis(a), ())) for a in range(3)] for case in cases]
    return np.asarray(np.array(slices, np.intp).reshape(-1, 3).sum(0))


def habit(table: Table, cases: Sequence[CaseView]) -> Factors:
    """Return ``(N,)`` factors: the more of a project is annotated in a plane, the more.

    From 0.5 for planes in which nothing is to 1 for the most annotated one; 1 for all at first.
    """
    used = _annotated(cases)
    by_axis = OTHER_PLANE + (1 - OTHER_PLANE) * used / used.max() if used.any() else np.ones(3)
    return np.asarray(by_axis[table.axis])


def orthogonal(table: Table, cases: Sequence[CaseView]) -> Factors:
    """Return ``(N,)`` factors: more for views that complement those annotated in the same case.

    Slices of the most annotated plane count half. Among the others the plane is preferred whose
    slices meet fewest annotated ones, in a line each (the motive of DeSCO, CVPR 2023, and SGTC,
    AAAI 2025, for orthogonal slices).
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
    lines = {plane: crossing_lines(case.annotated, plane) for plane in others}
    fewest = min(lines.values())
    return np.array([fewest / lines[p] if p in lines else SAME_VIEW for p in Plane])
