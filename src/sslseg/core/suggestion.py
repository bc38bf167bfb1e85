"""Which slice to label next, and why."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from sslseg.core.geometry import Plane

Box = tuple[int, int, int, int]
"""Part of a slice ``(H, W)`` in voxels: rows from and to, columns from and to, ends excluded."""


PAGE = 12
"""Suggestions that are in sight together."""


class Suggestion(BaseModel):
    """One slice worth labelling.

    Parameters
    ----------
    case, plane, slice
        Where to go; `slice` counts voxels along the plane's RAS axis.
    score : float
        Acquisition score after the redundancy penalty; comparable within one list only.
    reason : str
        Why, in words for the clinician.
    box : tuple of int or None
        The region of the slice that the reason is about; None where nothing is predicted yet.
    """

    model_config = ConfigDict(frozen=True)
    case: str
    plane: Plane
    slice: int
    score: float
    reason: str
    box: Box | None = None
