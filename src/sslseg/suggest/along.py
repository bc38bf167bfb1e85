"""Where along a structure a slice lies, so that suggestions cover it from end to end."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sslseg.suggest.spread import position
from sslseg.suggest.views import CaseView, Table

Places = npt.NDArray[np.float64]

FAINT = 0.05
"""Share of the largest predicted foreground of a stack from which a slice belongs to the object."""

BEYOND, LEAST_BEYOND = 0.05, 1
"""How far the places go on past both ends: a share of the object's length, and slices at least.
A prediction may end too early; but what is far past its ends is hardly ever wrong
(benchmarks/where_it_errs.py)."""

WIDTH = 0.06
"""Deviation, in places, of the weight around the place that is asked for."""


class Along:
    """Places from 0 to 1 along the predicted object, asked for in an order that fills gaps.

    Parameters
    ----------
    table, cases
        What there is, and whose it is.
    """

    def __init__(self, table: Table, cases: Sequence[CaseView]) -> None:
        self._places = _places(table)
        self._asked = sum(case.labelled for case in cases)

    def factor(self) -> Places:
        """Return ``(N,)`` weights: most at the next place, nearly none off the object."""
        self._asked += 1
        off = self._places - position(self._asked, 0.0, 1.0)
        return np.asarray(np.exp(-(off**2) / (2 * WIDTH**2)))


def _places(table: Table) -> Places:
    """Return the place of each slice in its stack, beyond 0 or 1 where it is far off the object.

    A stack in which nothing is predicted is an object from end to end.
    """
    places = np.zeros(len(table))
    starts = np.flatnonzero(table.index == 0)
    for start, stop in zip(starts, [*starts[1:], len(table)], strict=True):
        size = table.values["foreground"][start:stop]
        inside = np.flatnonzero(size > FAINT * size.max()) if size.any() else np.arange(len(size))
        first, last = int(inside[0]), int(inside[-1])
        more = max(LEAST_BEYOND, BEYOND * (last - first)) if size.any() else 0
        low, high = max(0.0, first - more), min(len(size) - 1.0, last + more)
        places[start:stop] = (np.arange(len(size)) - low) / max(high - low, 1.0)
    return places
