"""On which grid a plan learns: voxels made alike where they differ, coarser where they are many."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median

from sslseg.core.errors import SslsegError
from sslseg.core.volume import CaseRecord
from sslseg.data.preprocessing import Spacing, grid_shape
from sslseg.training.planner_sizes import PIXELS_CPU, VOXELS_CPU

OWN: Spacing = (None, None, None)

ANISOTROPIC = 2.5
"""Ratio of voxel sizes from which slices are thick and 3-D convolutions waste them."""

SAME_SPACING = 0.15
"""Relative difference below which a case keeps its own grid."""

FARTHEST = 4
"""Times finer or coarser than the volumes to which they may be resampled on request."""

COARSER = (1.0, 1.5, 2.0, 3.0)
"""How many times longer voxels may be made where volumes are large."""

ACROSS = 6
"""How many voxels there must still be across the thinnest structure where they are made longer."""

STAYS = 1.5
"""By what factor a grid may be finer or coarser than it would be chosen now, and still be kept: a
network that goes on learning knows things by their size in voxels."""


@dataclass(frozen=True)
class Grids:
    """The training grids of a project.

    Parameters
    ----------
    cases : sequence of CaseRecord
        All cases.
    asked : str
        "auto", "own" or a voxel size in mm.
    thinnest : float or None
        mm across the thinnest structure that is drawn, as `Coverage.thinnest`.
    hurried : bool
        Whether voxels are made longer where a patch shows little of a volume and structures allow
        it, as on a CPU.
    last : Spacing or None
        Of the run to go on from, kept where it is close to what would be chosen now.
    """

    cases: Sequence[CaseRecord]
    asked: str = "auto"
    thinnest: float | None = None
    hurried: bool = False
    last: Spacing | None = None

    def choose(self, axis: int | None) -> tuple[Spacing, str]:
        """Return the grid for a network of slices across `axis`, or of boxes where None, and why.

        That is the median voxel size along each axis where cases differ, None where they agree.
        The coarse axis of thick slices always keeps each case's own slices: resampling it would
        invent or drop annotated slices.

        Raises
        ------
        SslsegError
            When a size that was asked for is far from the volumes'.
        """
        if self.asked == "own":
            return OWN, "Every volume keeps its own voxels, as asked."
        if self.asked != "auto":
            return _asked_spacing(self._sizes, self._thick, float(self.asked))
        alike = self._alike()
        times = self._times_coarser(axis, alike)
        if times > 1:
            return self._coarser(axis, alike, times)
        if alike == OWN:
            return OWN, "Every volume keeps its own voxels."
        return alike, f"Voxels are made alike, to {_along_axes(alike)}, since volumes differ there."

    @cached_property
    def _sizes(self) -> list[float]:
        return [median(case.geometry.spacing[axis] for case in self.cases) for axis in range(3)]

    @cached_property
    def _thick(self) -> list[bool]:
        return [size > ANISOTROPIC * min(self._sizes) for size in self._sizes]

    def _alike(self) -> Spacing:
        chosen: list[float | None] = []
        for axis, middle in enumerate(self._sizes):
            spread = max(abs(case.geometry.spacing[axis] / middle - 1) for case in self.cases)
            same = self._thick[axis] or spread <= SAME_SPACING
            chosen.append(None if same else round(middle, 4))
        return (chosen[0], chosen[1], chosen[2])

    def _times_coarser(self, axis: int | None, alike: Spacing) -> float:
        """Return how many times the finest side of voxels that can be made longer the grid's is."""
        free = self._free(axis)
        if not self.hurried or self.thinnest is None or not free:
            return 1.0
        finest = min(self._sizes[each] for each in free)
        needed, allowed = self._patches_along(axis, alike), self.thinnest / (ACROSS * finest)
        times = times_coarser(needed, allowed)
        if self.last is None:
            return times
        before = min(self.last[each] or self._sizes[each] for each in free) / finest
        near = before == 1 or before >= COARSER[1]
        most = STAYS * min(needed, allowed)
        return before if near and times / STAYS <= before <= most else times

    def _free(self, axis: int | None) -> list[int]:
        """Return along which axes voxels can be made longer: neither across slices nor thick."""
        return [each for each in range(3) if each != axis and not self._thick[each]]

    def _patches_along(self, axis: int | None, alike: Spacing) -> float:
        """Return how many patches lie along a side that can be made coarser, in the mean."""
        shapes = [grid_shape(case, alike) for case in self.cases]
        shown = [each for each in range(3) if each != axis]
        voxels = math.prod(median(shape[each] for shape in shapes) for each in shown)
        patch = PIXELS_CPU if len(shown) == 2 else VOXELS_CPU
        return float((voxels / patch) ** (1 / max(len(self._free(axis)), 1)))

    def _coarser(self, axis: int | None, alike: Spacing, times: float) -> tuple[Spacing, str]:
        """Make the voxels of boxes or within slices longer; there are as many slices as before."""
        free = self._free(axis)
        size = round(times * min(self._sizes[each] for each in free), 4)
        longer = [each for each in free if self._sizes[each] <= size]
        grid = [size if each in longer else own for each, own in enumerate(alike)]
        found = (grid[0], grid[1], grid[2])
        why = f"volumes are large, and what is drawn is {self.thinnest:.2g} mm across or more"
        return found, f"Voxels are made coarser, to {_along_axes(found)}: {why}."


def times_coarser(needed: float, allowed: float) -> float:
    """Return how many times longer voxels become.

    Parameters
    ----------
    needed : float
        How many patches lie along a side: beyond, nothing would be won.
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
