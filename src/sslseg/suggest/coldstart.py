"""With no model yet: typical cases of each kind, and slices spread over the middle of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from sslseg.core.geometry import Plane
from sslseg.suggest.views import CaseView, offered_planes

NEIGHBOURS = 20
"""Nearest cases that typicality looks at."""

Points = npt.NDArray[np.float64]
Target = tuple[int, Plane, int]
"""Number of the case, plane and slice."""


def typical_order(cases: Sequence[CaseView], wanted: int, rng: np.random.Generator) -> list[int]:
    """Return the numbers of all cases: `wanted` typical ones of different kinds first.

    After TypiClust (Hacohen et al., ICML 2022): the cases fall into as many clusters as will be
    labelled (here Ward's, which needs no draw), clusters without a labelled case come first, the
    larger before the smaller, each with its most typical case. The rest follows by k-center, each
    as far as can be from those before. Cases with annotated slices come last. Without features
    of all cases the order is drawn by `rng`.
    """
    started = [number for number, case in enumerate(cases) if case.labelled]
    fresh = [number for number, case in enumerate(cases) if not case.labelled]
    points = _standardised(cases)
    if points is None:
        return [*rng.permutation(fresh).tolist(), *started]
    groups = _clusters(points, len(started) + wanted)
    open_groups = [group for group in groups if not set(group) & set(started)]
    first = [_most_typical(points, group) for group in open_groups[:wanted]]
    return [*first, *_farthest_first(points, fresh, [*started, *first]), *started]


def _clusters(points: Points, count: int) -> list[list[int]]:
    """Return the rows of `count` clusters, the larger first."""
    from scipy.cluster.hierarchy import fcluster, linkage

    if len(points) < 2:
        return [list(range(len(points)))]
    names = fcluster(linkage(points, "ward"), max(count, 1), "maxclust")
    groups = [np.flatnonzero(names == name).tolist() for name in np.unique(names)]
    return sorted(groups, key=len, reverse=True)


def _most_typical(points: Points, group: Sequence[int]) -> int:
    """Return the row with the smallest mean distance to its 20 nearest in the group."""
    chosen = points[list(group)]
    gaps = np.sort(np.linalg.norm(chosen[:, None] - chosen[None], axis=-1), axis=1)
    return group[int(gaps[:, 1 : 1 + NEIGHBOURS].sum(axis=1).argmin())]


def _farthest_first(points: Points, fresh: Sequence[int], chosen: Sequence[int]) -> list[int]:
    """Return the `fresh` rows that are not chosen, each the farthest from all before (k-center)."""
    left, order = [row for row in fresh if row not in set(chosen)], list(chosen)
    found: list[int] = []
    while left:
        near = points[order] if order else points.mean(axis=0, keepdims=True)
        gaps = np.linalg.norm(points[left][:, None] - near[None], axis=-1).min(axis=1)
        found.append(left.pop(int(gaps.argmax())))
        order.append(found[-1])
    return found


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
    """Yield unannotated slices: `per_visit` of each case in `order`, and round again.

    A case's planes take turns, and each plane's slices are spread between the shares `low` and
    `high` of its axis, at least two slices from all taken ones where there is room.
    """
    queues = {number: _of_case(cases[number], low, high) for number in order}
    while queues:
        for number in list(queues):
            for _ in range(per_visit):
                found = next(queues[number], None)
                if found is None:
                    del queues[number]
                    break
                yield (number, *found)


def _of_case(case: CaseView, low: float, high: float) -> Iterator[tuple[Plane, int]]:
    planes = offered_planes(case.geometry)
    taken = {plane: set(case.annotated.get(plane, ())) for plane in planes}
    visits = {plane: len(taken[plane]) for plane in planes}
    while open_planes := [p for p in planes if len(taken[p]) < case.geometry.slices(p)]:
        plane = min(open_planes, key=lambda p: visits[p])
        visits[plane] += 1
        size = case.geometry.slices(plane)
        wanted = round(position(visits[plane], low, high) * (size - 1))
        index = _nearest_free(wanted, size, taken[plane])
        taken[plane].add(index)
        yield plane, index


def _nearest_free(wanted: int, size: int, taken: set[int]) -> int:
    """Return the free slice nearest to `wanted`, with a gap to taken ones if there is any."""
    free = [index for index in range(size) if index not in taken]
    roomy = [index for index in free if not {index - 1, index + 1} & taken]
    return min(roomy or free, key=lambda index: abs(index - wanted))


def _standardised(cases: Sequence[CaseView]) -> Points | None:
    """Return ``(cases, D)`` features with unit spread, or None where any case has none."""
    rows = [case.features for case in cases if case.features is not None]
    if len(rows) < len(cases) or not rows:
        return None
    points = np.stack(rows).astype(np.float64)
    scale = points.std(axis=0)
    return np.asarray((points - points.mean(axis=0)) / np.where(scale > 0, scale, 1))
