"""What a slice costs the person who labels it: a model, not a measurement.

Three things take time:

- to go to the slice, look at it and mark it complete: `SECONDS_PER_SLICE`, whatever it shows;
- to trace outlines: `SECONDS_PER_MM` for each mm drawn;
- to accept a prediction first, where there is one: `SECONDS_TO_ACCEPT`, then
  `SECONDS_PER_PLACE` for each connected wrong place (seen, zoomed to, its class chosen), and
  tracing only of that true outline which borders a wrong voxel. An island that the model made up
  has no true outline: it costs its place alone.

A person sees which way is shorter, so the cheaper of both counts: a poor prediction never costs
more than an empty slice would. An outline along the border of the image need not be drawn. The
constants are assumptions, the same for all strategies and methods, and good for comparing these;
nobody was timed. Tracing about 7 mm in a second is a careful mouse on a zoomed slice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

SECONDS_PER_SLICE = 8.0
SECONDS_PER_MM = 0.15
SECONDS_TO_ACCEPT = 1.0
SECONDS_PER_PLACE = 1.5

Labels = npt.NDArray[Any]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Effort:
    """What labelling one slice took.

    Parameters
    ----------
    seconds : float
        Of the annotator.
    drawn_mm : float
        Outline that was traced, in mm.
    accepted : bool
        Whether a prediction was accepted and mended, rather than the slice drawn anew.
    """

    seconds: float
    drawn_mm: float
    accepted: bool = False


def effort(truth: Labels, predicted: Labels | None, spacing: tuple[float, float]) -> Effort:
    """Return the effort of making a slice true.

    Parameters
    ----------
    truth : ndarray of int
        ``(H, W)``: what the annotator will have drawn.
    predicted : ndarray of int or None
        ``(H, W)``: what the model says of the slice; None where it says nothing.
    spacing : tuple of float
        mm along ``(H, W)``.
    """
    outline = outline_mm(truth, np.ones(truth.shape, bool), spacing)
    anew = Effort(SECONDS_PER_SLICE + SECONDS_PER_MM * outline, outline)
    if predicted is None or not predicted.any():
        return anew
    wrong = predicted != truth
    mended_mm = outline_mm(truth, wrong, spacing)
    places = int(ndimage.label(wrong, np.ones((3, 3)))[1])
    seconds = SECONDS_TO_ACCEPT + SECONDS_PER_PLACE * places + SECONDS_PER_MM * mended_mm
    mended = Effort(SECONDS_PER_SLICE + seconds, mended_mm, accepted=True)
    return min(anew, mended, key=lambda one: one.seconds)


def outline_mm(labels: Labels, wrong: Bools, spacing: tuple[float, float]) -> float:
    """Return how many mm of the outline of ``(H, W)`` labels border a wrong voxel.

    Counts the edges between voxels of different labels, each as long as the voxel is wide.
    """
    total = 0.0
    for axis in (0, 1):
        across, near = np.moveaxis(labels, axis, 0), np.moveaxis(wrong, axis, 0)
        edges = (across[1:] != across[:-1]) & (near[1:] | near[:-1])
        total += float(np.count_nonzero(edges)) * spacing[1 - axis]
    return total
