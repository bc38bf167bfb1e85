"""On which grid a plan learns: voxels made alike where they differ, coarser where they are many."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from sslseg.core.errors import SslsegError
from sslseg.core.volume import CaseRecord
from sslseg.data.preprocessing import Spacing, grid_shape

ANISOTROPIC = 2.5
"""Ratio of voxel sizes from which slices are thick and 3-D convolutions waste them."""

SAME_SPACING = 0.15
"""Relative difference below which a case keeps its own grid."""

FARTHEST = 4
"""Times finer or coarser than the volumes to which they may be resampled on request."""

COARSER = (1.0, 1.5, 2.0, 3.0)
"""How many times longer voxels may be made where slices are large."""

WINDOW, ACROSS = 96, 12
"""Voxels along a side of a slice up to which none is made coarser, and how many there must still be
across the thinnest structure: its outline is then a small part of it."""

STAYS = 1.5
"""By what factor a grid may be finer or coarser than it would be chosen now, and still be kept: a
network that goes on learning knows things by their size in voxels."""


def choose_spacing(
    cases: Sequence[CaseRecord],
    asked: str = "auto",
    thinnest: float | None = None,
    hurried: bool = False,
    last: Spacing | None = None,
) -> tuple[Spacing, str]:
    """Return the training grid and why.

    That is the median voxel size along each axis where cases differ, None where they agree. The
    coarse axis of thick slices always keeps each case's own slices: resampling it would invent or
    drop annotated slices.

    Parameters
    ----------
    cases : sequence of CaseRecord
        All cases of the project.
    asked : str
        "auto", "own" or a voxel size in mm.
    thinnest : float or None
        mm across the thinnest structure that is drawn, as `Coverage.thinnest`.
    hurried : bool
        Whether large slices are made coarser where structures allow it, as on a CPU.
    last : Spacing or None
        Of the run to go on from, kept where it is close to what would be chosen now.

    Raises
    ------
    SslsegError
        When a size that was asked for is far from the volumes'.
    """
    if asked == "own":
        return (None, None, None), "Every volume keeps its own voxels, as asked."
    medians = [median(case.geometry.spacing[axis] for case in cases) for axis in range(3)]
    thick = [middle > ANISOTROPIC * min(medians) for middle in medians]
    if asked != "auto":
        return _asked_spacing(medians, thick, float(asked))
    alike, words = _alike(cases, medians, thick)
    if not hurried or thinnest is None:
        return alike, words
    return _coarser(cases, alike, words, thick, thinnest, last)


def _alike(
    cases: Sequence[CaseRecord], medians: Sequence[float], thick: Sequence[bool]
) -> tuple[Spacing, str]:
    chosen: list[float | None] = []
    for axis, middle in enumerate(medians):
        spread = max(abs(case.geometry.spacing[axis] / middle - 1) for case in cases)
        chosen.append(None if thick[axis] or spread <= SAME_SPACING else round(middle, 4))
    if chosen == [None, None, None]:
        return (None, None, None), "Every volume keeps its own voxels."
    found = (chosen[0], chosen[1], chosen[2])
    return found, f"Voxels are made alike, to {_along_axes(found)}, since volumes differ there."


def _coarser(
    cases: Sequence[CaseRecord],
    alike: Spacing,
    words: str,
    thick: Sequence[bool],
    thinnest: float,
    last: Spacing | None,
) -> tuple[Spacing, str]:
    """Return a grid on which a slice is hardly larger than a window, if structures allow it."""
    sizes = [median(case.geometry.spacing[axis] for case in cases) for axis in range(3)]
    shapes = [grid_shape(case, alike) for case in cases]
    usual = [median(shape[axis] for shape in shapes) for axis in range(3)]
    sides = sorted(side for side, far in zip(usual, thick, strict=True) if not far)[-2:]
    finest = min(sizes)
    allowed = thinnest / (ACROSS * finest)
    times = times_coarser(math.sqrt(math.prod(sides)) / WINDOW, allowed)
    before = min((size for size in last or () if size is not None), default=finest) / finest
    if last is not None and times / STAYS <= before <= STAYS * allowed:
        times = before
    if times < COARSER[1]:
        return alike, words
    size = round(times * finest, 4)
    grid = [
        own if far or middle > size else size
        for own, far, middle in zip(alike, thick, sizes, strict=True)
    ]
    found = (grid[0], grid[1], grid[2])
    why = f"slices are large, and what is drawn is {thinnest:.2g} mm across or more"
    return found, f"Voxels are made coarser, to {_along_axes(found)}: {why}."


def times_coarser(needed: float, allowed: float) -> float:
    """Return how many times longer voxels become.

    Parameters
    ----------
    needed : float
        How many windows lie along a side of a slice: beyond, nothing would be won.
    allowed : float
        How many times longer they may become for the thinnest structure.
    """
    return max((times for times in COARSER if times <= min(needed, allowed)), default=1.0)


def _asked_spacing(
    medians: Sequence[float], thick: Sequence[bool], size: float
) -> tuple[Spacing, str]:
    """Return `size` along every axis but that of thick slices."""
    own = [middle for middle, far in zip(medians, thick, strict=True) if not far]
    finest, coarsest = max(own) / FARTHEST, min(own) * FARTHEST
    if not finest <= size <= coarsest:
        raise SslsegError(
            f"spacing={size:g}",
            f"{finest:.2g} to {coarsest:.2g} mm, since voxels are {min(own):.2g} mm or more",
            "Change the value and train again.",
        )
    chosen = [None if far else size for far in thick]
    stay = "; thick slices stay as they are" if any(thick) else ""
    found = (chosen[0], chosen[1], chosen[2])
    return found, f"Voxels are made alike, to {_along_axes(found)}, as asked{stay}."


def _along_axes(spacing: Spacing) -> str:
    """Return voxel sizes by direction, such as "1 mm from left to right"."""
    directions = ("from left to right", "from back to front", "from foot to head")
    sizes = zip(spacing, directions, strict=True)
    return ", ".join(f"{size:g} mm {way}" for size, way in sizes if size is not None)
