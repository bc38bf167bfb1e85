"""How unlike a slice is from those labelled or chosen: the distances of core-set selection."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float32]

AXES = 16
"""Principal axes that are kept, so that thousands of slices are compared in milliseconds."""

SAMPLE = 4000
"""Rows from which the axes are taken."""

AT_A_TIME = 32
"""Chosen rows that are compared with all at once."""


class Novelty:
    """Distance of every row to the nearest taken one (k-center greedy; Sener & Savarese 2018).

    Parameters
    ----------
    features : ndarray
        ``(N, D)``; rows of NaN are of unknown look and stand in the middle.
    taken : iterable of int
        Rows that are labelled.
    """

    def __init__(self, features: npt.NDArray[Any], taken: Iterable[int]) -> None:
        self._points = principal(standardised(features), AXES)
        self._squares = (self._points**2).sum(axis=1)
        self._gap = np.full(len(self._points), np.inf, np.float32)
        self._take(np.fromiter(taken, np.intp))

    def gaps(self) -> npt.NDArray[np.float64]:
        """Return ``(N,)`` distances, all 1 as long as nothing is taken."""
        return np.where(np.isfinite(self._gap), np.sqrt(self._gap), 1.0).astype(np.float64)

    def take(self, row: int) -> None:
        """Count `row` as chosen."""
        self._take(np.array([row]))

    def _take(self, rows: npt.NDArray[np.intp]) -> None:
        """Follow chosen rows, a few at a time: ``|a - b|^2 = |a|^2 + |b|^2 - 2 a b``."""
        for some in np.array_split(rows, -(-len(rows) // AT_A_TIME) or 1):
            products = self._points @ self._points[some].T
            away = (self._squares[some] - 2 * products).min(axis=1, initial=np.inf) + self._squares
            self._gap = np.minimum(self._gap, np.maximum(away, 0))
            self._gap[some] = 0


def standardised(features: npt.NDArray[Any]) -> Points:
    """Return ``(N, D)`` with mean 0 and deviation 1 along each column; 0 for rows of NaN."""
    known = np.isfinite(features).all(axis=1)
    values = np.where(known[:, None], features, 0).astype(np.float32)
    if not known.any():
        return values
    middle, spread = values[known].mean(axis=0), values[known].std(axis=0)
    scaled = (values - middle) / np.where(spread > 0, spread, 1)
    return np.where(known[:, None], scaled, 0).astype(np.float32)


def principal(points: Points, axes: int) -> Points:
    """Return centred ``(N, D)`` points along their `axes` widest directions, ``(N, min(D, axes))``.

    With at most `axes` columns the points are returned as they are.
    """
    if points.shape[1] <= axes:
        return points
    sample = points[:: max(1, len(points) // SAMPLE)]
    _, directions = np.linalg.eigh(sample.T @ sample)
    return np.asarray(points @ directions[:, -axes:], np.float32)
