"""With no model yet: typical cases of each kind first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sslseg.suggest.views import CaseView

NEIGHBOURS = 20
"""Nearest cases that typicality looks at."""

Points = npt.NDArray[np.float64]


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


def _standardised(cases: Sequence[CaseView]) -> Points | None:
    """Return ``(cases, D)`` features with unit spread, or None where any case has none."""
    rows = [case.features for case in cases if case.features is not None]
    if len(rows) < len(cases) or not rows:
        return None
    points = np.stack(rows).astype(np.float64)
    scale = points.std(axis=0)
    return np.asarray((points - points.mean(axis=0)) / np.where(scale > 0, scale, 1))
