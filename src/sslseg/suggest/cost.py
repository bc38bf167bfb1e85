"""How long a slice takes to label; estimates for comparing, not measurements."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

SECONDS_PER_SLICE = 8.0
"""To find a slice, look at it and mark it complete."""

SECONDS_PER_MM = 0.15
"""To trace one mm of outline."""


def drawing_seconds(outline_mm: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return ``a + b * outline`` in seconds for outlines in mm, of the same shape."""
    return np.asarray(SECONDS_PER_SLICE + SECONDS_PER_MM * np.asarray(outline_mm, np.float64))
