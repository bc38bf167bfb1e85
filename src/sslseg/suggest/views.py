"""What ranking knows of a case, and the table of slices it ranks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from sslseg.core.annotation import SliceRecord, SliceState
from sslseg.core.geometry import Geometry, Plane
from sslseg.core.prediction import CriticHealth

MAX_STRETCH = 2.5
"""Planes whose voxels are longer than this, relative to their width, are not offered."""


@dataclass(frozen=True)
class CaseView:
    """One case as the suggestions see it.

    Parameters
    ----------
    name, geometry
        Of the case record.
    annotated : mapping
        Plane to the slices of it that are annotated, partial ones included.
    scores : mapping or None
        From `acquisition.slice_scores`; None where nothing is predicted yet.
    features : ndarray or None
        ``(D,)`` description of the image, the same D for all cases, for a diverse cold start.
    critic : CriticHealth
        Of the discriminator behind the scores.
    """

    name: str
    geometry: Geometry
    annotated: Mapping[Plane, tuple[int, ...]] = field(default_factory=dict)
    scores: Mapping[str, npt.NDArray[Any]] | None = None
    features: npt.NDArray[np.floating[Any]] | None = None
    critic: CriticHealth = field(default_factory=CriticHealth)

    @property
    def labelled(self) -> int:
        """How many slices are annotated."""
        return sum(len(indices) for indices in self.annotated.values())


def annotated_slices(records: Iterable[SliceRecord], case: str) -> dict[Plane, tuple[int, ...]]:
    """Return the annotated slices of `case` by plane; slices in state none do not count."""
    found: dict[Plane, list[int]] = {}
    for record in records:
        if record.key.case == case and record.state is not SliceState.NONE:
            found.setdefault(record.key.plane, []).append(record.key.index)
    return {plane: tuple(sorted(indices)) for plane, indices in found.items()}


def offered_planes(geometry: Geometry) -> tuple[Plane, ...]:
    """Return the planes a human can label well: in-plane voxels not stretched beyond 2.5."""
    stretch = {}
    for plane in Plane:
        sides = [size for axis, size in enumerate(geometry.spacing) if axis != plane.axis]
        stretch[plane] = max(sides) / min(sides)
    best = min(stretch.values())
    return tuple(plane for plane in Plane if stretch[plane] <= max(MAX_STRETCH, best))


@dataclass(frozen=True)
class Table:
    """All slices of the predicted cases in the offered planes, one row each.

    Parameters
    ----------
    case, axis, index : ndarray of int
        ``(N,)``: number of the case, the plane's axis, and the slice.
    free : ndarray of bool
        ``(N,)``: not annotated.
    values : mapping
        ``(N,)`` float64 by name, as in `acquisition.slice_scores`; `classes` is ``(N, K)``.
    """

    case: npt.NDArray[np.intp]
    axis: npt.NDArray[np.intp]
    index: npt.NDArray[np.intp]
    free: npt.NDArray[np.bool_]
    values: Mapping[str, npt.NDArray[np.float64]]

    @classmethod
    def of(cls, cases: Sequence[CaseView]) -> Self:
        """Collect the slices of those `cases` that have scores."""
        parts = [
            (number, plane, case)
            for number, case in enumerate(cases)
            if case.scores is not None
            for plane in offered_planes(case.geometry)
        ]
        sizes = [case.geometry.slices(plane) for _, plane, case in parts]
        index = [np.arange(size) for size in sizes]
        free = [
            ~np.isin(rows, case.annotated.get(plane, ()))
            for rows, (_, plane, case) in zip(index, parts, strict=True)
        ]
        return cls(
            np.repeat([number for number, _, _ in parts], sizes).astype(np.intp),
            np.repeat([plane.axis for _, plane, _ in parts], sizes).astype(np.intp),
            np.concatenate([*index, np.zeros(0, np.intp)]),
            np.concatenate([*free, np.zeros(0, bool)]),
            _values(parts),
        )

    def __len__(self) -> int:
        return len(self.index)


def _values(
    parts: Sequence[tuple[int, Plane, CaseView]],
) -> dict[str, npt.NDArray[np.float64]]:
    """Return the columns that all parts have; sums shrink by what is annotated across."""
    shares: dict[int, dict[Plane, float]] = {}
    columns: dict[str, list[npt.NDArray[np.float64]]] = {}
    for number, plane, case in parts:
        share = shares.setdefault(number, _unknown_share(case))
        left = np.prod([share[other] for other in Plane if other is not plane])
        for name, values in _of_plane(case, plane).items():
            columns.setdefault(name, []).append(np.asarray(values, np.float64) * left)
    return {
        name: np.concatenate(found) for name, found in columns.items() if len(found) == len(parts)
    }


def _of_plane(case: CaseView, plane: Plane) -> dict[str, npt.NDArray[Any]]:
    prefix = f"{plane}."
    return {
        key.removeprefix(prefix): values
        for key, values in (case.scores or {}).items()
        if key.startswith(prefix)
    }


def _unknown_share(case: CaseView) -> dict[Plane, float]:
    """Return the share of the band that lies outside the annotated slices of each plane.

    A slice across annotated ones is known along the lines where they meet; on average that is
    the annotated share of the band, which needs no volume to be read.
    """
    shares = {}
    for plane in Plane:
        band = (case.scores or {})[f"{plane}.band"]
        known = float(band[list(case.annotated.get(plane, ()))].sum())
        shares[plane] = 1 - known / max(float(band.sum()), 1.0)
    return shares
