"""How a term's weight changes over a run.

Ramps are functions of the fraction of the run that is done, never of absolute steps, so that
300 interactive steps and 15,000 benchmark steps share settings.
"""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Shape = Literal["const", "linear", "sigmoid", "cosine_down", "threshold"]


class Ramp(BaseModel):
    """A weight over the run.

    Parameters
    ----------
    weight : float
        The largest value.
    start, length : float
        Fractions of the run: 0 before `start`, full (or fully down) from ``start + length`` on.
    shape : str
        const; linear; sigmoid: exp(-5 (1 - u)^2); cosine_down: from `weight` to 0; threshold:
        0 before `start`, then `weight`.
    """

    model_config = ConfigDict(frozen=True)
    weight: float = 1.0
    start: float = Field(default=0.0, ge=0, le=1)
    length: float = Field(default=0.0, ge=0, le=1)
    shape: Shape = "const"

    def __call__(self, fraction: float) -> float:
        """Return the weight when `fraction` in [0, 1] of the run is done."""
        if self.shape == "const":
            return self.weight
        if fraction < self.start:
            return self.weight if self.shape == "cosine_down" else 0.0
        u = min(1.0, (fraction - self.start) / self.length) if self.length > 0 else 1.0
        return self.weight * _rise(self.shape, u)


def _rise(shape: Shape, u: float) -> float:
    if shape == "linear":
        return u
    if shape == "sigmoid":
        return math.exp(-5.0 * (1.0 - u) ** 2)
    if shape == "cosine_down":
        return 0.5 * (1.0 + math.cos(math.pi * u))
    return 1.0


def poly(fraction: float, power: float = 0.9) -> float:
    """Return the factor of the poly learning-rate decay, ``(1 - fraction) ** power``."""
    return float((1.0 - min(max(fraction, 0.0), 1.0)) ** power)
