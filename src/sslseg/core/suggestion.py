"""Which slice to label next, and why."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from sslseg.core.geometry import Plane


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
    """

    model_config = ConfigDict(frozen=True)
    case: str
    plane: Plane
    slice: int
    score: float
    reason: str
