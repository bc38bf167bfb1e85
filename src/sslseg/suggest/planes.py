"""Which plane to look at next: factors for the slices of a case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from sslseg.core.geometry import Plane
from sslseg.suggest.views import CaseView, Table

Factors = npt.NDArray[np.float64]

USED_PLANE = 1.15
"""Factor for planes that were annotated before: the clinician's habit counts a little."""

SAME_VIEW = 0.5
"""Factor for the plane in which most of a case is annotated, where another view is wanted."""


def habit(table: Table, cases: Sequence[CaseView]) -> Factors:
    """Return ``(N,)`` factors: a little more for the planes in use anywhere in the project."""
    used = {plane.axis for case in cases for plane, slices in case.annotated.items() if slices}
    return np.where(np.isin(table.axis, list(used)), USED_PLANE, 1.0)


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
