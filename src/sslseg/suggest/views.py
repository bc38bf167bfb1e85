"""What ranking knows of a case, and the table of slices it ranks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from sslseg.core.annotation import SliceRecord, SliceState
from sslseg.core.geometry import Geometry, Plane, is_strip, stretched
from sslseg.core.prediction import CriticHealth

MAX_STRETCH = 2.5
"""Planes whose voxels are longer than this, relative to their width, are not offered."""

ENOUGH = 2
"""Held-out slices of a case from which more of it add little to a Dice."""


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
    held_out : bool
        Whether it has held-out slices enough and a further one would be another, see
        `held_out_case`.
    done : bool
        Whether the user is through with it: nothing of it is suggested.
    """

    name: str
    geometry: Geometry
    annotated: Mapping[Plane, tuple[int, ...]] = field(default_factory=dict)
    scores: Mapping[str, npt.NDArray[Any]] | None = None
    features: npt.NDArray[np.floating[Any]] | None = None
    critic: CriticHealth = field(default_factory=CriticHealth)
    held_out: bool = False
    done: bool = False

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


def held_out_case(records: Iterable[SliceRecord], case: str) -> bool:
    """Tell whether `case` has held-out slices enough, and a further one would be another.

    At least two annotated slices are held out, and most of them: of a case to learn from only a few
    ever are.
    """
    held = [
        record.validation
        for record in records
        if record.key.case == case and record.state is not SliceState.NONE
    ]
    return sum(held) >= ENOUGH and 2 * sum(held) > len(held)


def offered_planes(geometry: Geometry) -> tuple[Plane, ...]:
    """Return the planes a human can label well: no strips, voxels not stretched beyond 2.5."""
    whole = [plane for plane in Plane if not is_strip(geometry, plane)] or list(Plane)
    stretch = {plane: stretched(geometry, plane) for plane in whole}
    best = min(stretch.values())
    return tuple(plane for plane in whole if stretch[plane] <= max(MAX_STRETCH, best))


SUMS = ("band", "uncertainty", "mutual", "doubt", "foreground", "boundary")
CLASSES = "classes"

Part = tuple[int, Plane, CaseView]
Rows = npt.NDArray[Any] | None


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
        ``(N,)`` float64 by name, as in `acquisition.slice_scores`; `classes` is ``(N, K)``. What
        a case does not have is 0: a class that came later, doubt without a healthy critic.
    boxes : ndarray of int32
        ``(N, 4)``, see `regions.heaviest_boxes`.
    features : ndarray of float32
        ``(N, D)``; NaN in cases that have none or other ones than most.
    """

    case: npt.NDArray[np.intp]
    axis: npt.NDArray[np.intp]
    index: npt.NDArray[np.intp]
    free: npt.NDArray[np.bool_]
    values: Mapping[str, npt.NDArray[np.float64]]
    boxes: npt.NDArray[np.int32]
    features: npt.NDArray[np.float32]

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
            _stacked([_of_plane(case, plane, "box") for _, plane, case in parts], sizes, 4, 0),
            _features([_of_plane(case, plane, "features") for _, plane, case in parts], sizes),
        )

    def __len__(self) -> int:
        return len(self.index)


def _values(parts: Sequence[Part]) -> dict[str, npt.NDArray[np.float64]]:
    """Return the columns of all parts; sums shrink by what is annotated across."""
    shares: dict[int, dict[Plane, float]] = {}
    found: dict[str, list[Rows]] = {name: [] for name in (*SUMS, CLASSES)}
    for number, plane, case in parts:
        share = shares.setdefault(number, _unknown_share(case))
        left = np.prod([share[other] for other in Plane if other is not plane])
        for name, columns in found.items():
            believed = name != "doubt" or case.critic.healthy
            values = _of_plane(case, plane, name) if believed else None
            columns.append(None if values is None else values.astype(np.float64) * left)
    sizes = [case.geometry.slices(plane) for _, plane, case in parts]
    classes = max((rows.shape[1] for rows in found[CLASSES] if rows is not None), default=0)
    sums = {name: _stacked(found[name], sizes, 1, 0)[:, 0] for name in SUMS}
    return {**sums, CLASSES: _stacked(found[CLASSES], sizes, classes, 0)}


def _features(parts: Sequence[Rows], sizes: Sequence[int]) -> npt.NDArray[np.float32]:
    """Return ``(N, D)`` with the D of most parts, NaN for the others."""
    counts = Counter(rows.shape[1] for rows in parts if rows is not None)
    wanted = counts.most_common(1)[0][0] if counts else 0
    kept = [rows if rows is not None and rows.shape[1] == wanted else None for rows in parts]
    return _stacked(kept, sizes, wanted, np.nan)


def _stacked(
    parts: Sequence[Rows], sizes: Sequence[int], columns: int, missing: float
) -> npt.NDArray[Any]:
    """Return all rows below each other, ``(sum of sizes, columns)``, gaps filled with `missing`."""
    kinds = [rows.dtype for rows in parts if rows is not None]
    whole = np.full((sum(sizes), columns), missing, kinds[0] if kinds else np.float32)
    for end, size, rows in zip(np.cumsum(sizes), sizes, parts, strict=True):
        if rows is not None:
            flat = rows.reshape(size, -1)
            whole[end - size : end, : flat.shape[1]] = flat
    return whole


def _of_plane(case: CaseView, plane: Plane, name: str) -> Rows:
    return (case.scores or {}).get(f"{plane}.{name}")


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
