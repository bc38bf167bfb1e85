"""With no model yet: typical cases of each kind first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sslseg.suggest.views import CaseView

NEIGHBOURS = 20
"""Nearest cases that typicality looks at."""

Points = npt.NDArray[np.float64]


def typical_order(
    cases: Sequence[CaseView],
    wanted: int,
    rng: np.random.Generator,
    among: Sequence[int] | None = None,
) -> list[int]:
    """Return the numbers of cases: `wanted` typical ones of different kinds first.

    After TypiClust (Hacohen et al., ICML 2022): the cases fall into as many clusters as will be
    labelled (here Ward's, which needs no draw), clusters without a labelled case come first, the
    larger before the smaller, each with its most typical case. The rest follows by k-center, each
    as far as can be from those before. Cases with annotated slices come last. Without features
    of all cases the order is drawn by `rng`.

    Parameters
    ----------
    cases : sequence of CaseView
        All cases: kinds are of all, and those labelled push their like back.
    wanted : int
        How many cases will be visited.
    rng : Generator
        For the draw.
    among : sequence of int, optional
        The cases to put in order; None takes all.
    """
    asked = range(len(cases)) if among is None else among
    started = [number for number, case in enumerate(cases) if case.labelled]
    fresh = [number for number in asked if not cases[number].labelled]
    last = [number for number in asked if cases[number].labelled]
    points = _standardised(cases)
    if points is None:
        return [*rng.permutation(fresh).tolist(), *last]
    groups = _clusters(points, len(started) + wanted)
    open_groups = [
        found
        for group in groups
        if not set(group) & set(started) and (found := sorted(set(group) & set(fresh)))
    ]
    first = [_most_typical(points, group) for group in open_groups[:wanted]]
    return [*first, *_farthest_first(points, fresh, [*started, *first]), *last]


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
    gaps = np.sort([_away(chosen, row) for row in chosen], axis=1)
    return group[int(gaps[:, 1 : 1 + NEIGHBOURS].sum(axis=1).argmin())]


def _farthest_first(points: Points, fresh: Sequence[int], chosen: Sequence[int]) -> list[int]:
    """Return the `fresh` rows that are not chosen, each the farthest from all before (k-center).

    Where none is chosen yet, the first is the farthest from the middle.
    """
    before = set(chosen)
    left = [row for row in fresh if row not in before]
    nearest = np.full(len(points), np.inf)
    for row in chosen:
        nearest = np.minimum(nearest, _away(points, points[row]))
    found: list[int] = []
    while left:
        gaps = nearest if chosen or found else _away(points, points.mean(axis=0))
        found.append(left.pop(int(gaps[left].argmax())))
        nearest = np.minimum(nearest, _away(points, points[found[-1]]))
    return found


def _away(points: Points, point: Points) -> Points:
    """Return how far each of the ``(n, D)`` points is from one ``(D,)``, ``(n,)``."""
    return np.asarray(np.linalg.norm(points - point, axis=-1))


def _standardised(cases: Sequence[CaseView]) -> Points | None:
    """Return ``(cases, D)`` features with unit spread, or None where any case has none."""
    rows = [case.features for case in cases if case.features is not None]
    if len(rows) < len(cases) or not rows:
        return None
    points = np.stack(rows).astype(np.float64)
    scale = points.std(axis=0)
    return np.asarray((points - points.mean(axis=0)) / np.where(scale > 0, scale, 1))
