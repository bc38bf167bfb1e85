"""What is annotated, as the planner needs it."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from sslseg.core.annotation import SliceState, slice_target
from sslseg.core.geometry import Plane
from sslseg.data import islands
from sslseg.data.thickness import Slice, thinnest
from sslseg.storage.store import ProjectStore

MOST_LOOKED_AT = 200
"""Complete slices whose structures are looked at, of thousands of dense labels."""


@dataclass(frozen=True)
class Coverage:
    """What is annotated, as the planner needs it.

    Parameters
    ----------
    planes : Counter of Plane
        How many slices say something, by plane.
    dense : bool
        Whether more than half of the annotated cases' voxels lie in annotated slices.
    islands : float
        As far as complete slices tell, below which share of the largest piece of its class another
        one is an island; 0 where none is.
    thinnest : float or None
        How many mm the thinnest drawn structure is across; None where none is drawn.
    free : float
        Share of the cases in which no slice says anything.
    """

    planes: Counter[Plane]
    dense: bool = False
    islands: float = 0.0
    thinnest: float | None = None
    free: float = 1.0


def coverage(store: ProjectStore) -> Coverage:
    """Return which planes are annotated, whether whole volumes are, and what slices show."""
    planes: Counter[Plane] = Counter()
    by_case: dict[str, Counter[Plane]] = defaultdict(Counter)
    for record in store.slices():
        if record.state is not SliceState.NONE:
            planes[record.key.plane] += 1
            by_case[record.key.case][record.key.plane] += 1
    shares = [
        max(count / store.case(name).geometry.slices(plane) for plane, count in counts.items())
        for name, counts in by_case.items()
    ]
    dense = bool(shares) and sum(shares) / len(shares) > 0.5
    shown = list(_complete(store))
    foreground = ((plane, target > 0) for plane, (target, _) in shown)
    thin = thinnest(drawn for _, drawn in shown)
    free = 1 - len(by_case) / max(1, len(store.cases()))
    return Coverage(planes, dense, islands.share(foreground), thin, free)


def _complete(store: ProjectStore) -> Iterator[tuple[Plane, Slice]]:
    """Yield complete slices and their planes, at most `MOST_LOOKED_AT` spread over all."""
    complete = [record for record in store.slices() if record.state is SliceState.COMPLETE]
    for record in complete[:: math.ceil(len(complete) / MOST_LOOKED_AT) or 1]:
        plane, sizes = record.key.plane, store.case(record.key.case).geometry.spacing
        first, second = (size for axis, size in enumerate(sizes) if axis != plane.axis)
        target = slice_target(store.labels_at(record.revision), record.state)
        yield plane, (target, (first, second))
