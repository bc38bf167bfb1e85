"""Where voxels lie: planes, grids and the way from a file's axes to RAS+ and back.

Inside the program every array is RAS+: axis 0 grows to the patient's right, axis 1 to the
front (anterior), axis 2 to the top (superior), and worlds are in millimetres, RAS+ too.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, model_validator

Array = npt.NDArray[Any]
Matrix = tuple[tuple[float, float, float, float], ...]

SAME_PLACE, LEAST_MM, LEAST_SHARE = 0.05, 0.01, 0.2
"""Of a voxel, and in mm in any case up to a share of a voxel: by what rounded headers may move a
grid."""

STRIP_VOXELS, STRIP_RATIO = 8, 4
"""A slice with fewer voxels on one side, and so many times more on the other, is a strip."""


class Plane(StrEnum):
    """An anatomical plane; slice N of it counts voxels along its normal axis in RAS+."""

    SAGITTAL = "sagittal"
    CORONAL = "coronal"
    AXIAL = "axial"

    @property
    def axis(self) -> int:
        """Array axis (0, 1 or 2) along which slices of this plane are counted."""
        return list(Plane).index(self)

    @classmethod
    def of_axis(cls, axis: int) -> Plane:
        """Return the plane whose slices are counted along array axis `axis`."""
        return list(cls)[axis]


class Reorientation(BaseModel):
    """How a file's array becomes RAS+: pick axes, then flip some.

    Parameters
    ----------
    axes : tuple of int
        ``axes[i]`` is the source axis that becomes RAS axis ``i``.
    flips : tuple of bool
        Whether RAS axis ``i`` runs against its source axis.
    """

    model_config = ConfigDict(frozen=True)
    axes: tuple[int, int, int] = (0, 1, 2)
    flips: tuple[bool, bool, bool] = (False, False, False)

    def to_ras(self, array: Array) -> Array:
        """Return a view of a source array ``(I, J, K)`` as RAS+ ``(X, Y, Z)``."""
        moved = array.transpose(self.axes)
        return moved[tuple(slice(None, None, -1 if flip else 1) for flip in self.flips)]

    def to_source(self, array: Array) -> Array:
        """Return a view of a RAS+ array ``(X, Y, Z)`` in the source's axis order ``(I, J, K)``."""
        straight = array[tuple(slice(None, None, -1 if flip else 1) for flip in self.flips)]
        return straight.transpose(np.argsort(self.axes))


class Geometry(BaseModel):
    """The voxel grid of a volume in RAS+.

    Parameters
    ----------
    shape : tuple of int
        Voxels along RAS axes, ``(X, Y, Z)``.
    affine : 4 x 4 tuple of float
        Voxel index (RAS+ array order) to world millimetres, RAS+. May be oblique.
    """

    model_config = ConfigDict(frozen=True)
    shape: tuple[int, int, int]
    affine: Matrix

    @model_validator(mode="after")
    def _check(self) -> Self:
        matrix = np.asarray(self.affine)
        if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
            raise ValueError(f"affine must be 4 x 4 and finite, got {self.affine}")
        if min(self.shape) < 1:
            raise ValueError(f"shape must be positive, got {self.shape}")
        return self

    @classmethod
    def of(cls, shape: tuple[int, ...], affine: Array) -> Geometry:
        """Build from an array's shape and a 4 x 4 array."""
        rows = tuple(tuple(float(v) for v in row) for row in np.asarray(affine))
        return cls.model_validate({"shape": tuple(int(n) for n in shape), "affine": rows})

    @property
    def matrix(self) -> npt.NDArray[np.float64]:
        """The affine as a float64 array ``(4, 4)``."""
        return np.asarray(self.affine, dtype=np.float64)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size in mm along ``(X, Y, Z)``."""
        lengths = np.linalg.norm(self.matrix[:3, :3], axis=0)
        return (float(lengths[0]), float(lengths[1]), float(lengths[2]))

    def slices(self, plane: Plane) -> int:
        """Return how many slices the volume has in `plane`."""
        return self.shape[plane.axis]

    def slice_shape(self, plane: Plane) -> tuple[int, int]:
        """Return the shape of one slice of `plane`: the two other axes in RAS order."""
        first, second = (axis for axis in range(3) if axis != plane.axis)
        return (self.shape[first], self.shape[second])

    def anisotropy(self) -> float:
        """Return the largest voxel size divided by the smallest."""
        return max(self.spacing) / min(self.spacing)

    def same_grid(self, other: Geometry) -> bool:
        """Tell whether both have as many voxels and corners within a twentieth of the smallest.

        Programs round what a header says.
        """
        if self.shape != other.shape:
            return False
        finest = min(self.spacing)
        tolerance_mm = max(SAME_PLACE * finest, min(LEAST_MM, LEAST_SHARE * finest))
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in self.shape])).reshape(3, -1)
        points = np.vstack([corners, np.ones(corners.shape[1])])
        return bool(np.abs((self.matrix - other.matrix) @ points).max() <= tolerance_mm)


def take_slice(volume: Array, plane: Plane, index: int) -> Array:
    """Return the view of slice `index` of a RAS+ array; two axes in RAS order."""
    return volume[(slice(None),) * plane.axis + (index,)]


def stretched(geometry: Geometry, plane: Plane) -> float:
    """Return how many times longer than wide the voxels of a plane's slices are, at least 1."""
    sides = [size for axis, size in enumerate(geometry.spacing) if axis != plane.axis]
    return max(sides) / min(sides)


def is_strip(geometry: Geometry, plane: Plane) -> bool:
    """Tell whether a plane's slices are strips on which nobody recognises anything.

    Such are those across the few slices of a thin volume, or of a 2-D image: fewer than 8 voxels on
    one side, and over four times as many on the other.
    """
    short, long = sorted(geometry.slice_shape(plane))
    return short < STRIP_VOXELS and long > STRIP_RATIO * short


def first_plane(geometries: Sequence[Geometry]) -> Plane:
    """Return the plane to begin with where nobody chose one; axial without any volume.

    One whose slices are no strips and whose voxels are least stretched in the median; among equals
    rather none of the sagittal ones, which show one side of a body alone, so that left and right
    are not told apart; then the one with most slices, which are the smallest: quick to draw, and a
    network of slices sees all of one at once. Stretch is rounded, since voxel sizes of one sequence
    differ in the second digit.
    """

    def worth(plane: Plane) -> tuple[bool, float, bool, float]:
        strips = np.mean([is_strip(each, plane) for each in geometries])
        stretch = np.median([stretched(each, plane) for each in geometries])
        slices = np.median([each.slices(plane) for each in geometries])
        one_side = plane is Plane.SAGITTAL
        return bool(strips > 0.5), round(float(stretch), 1), one_side, -float(slices)

    planes = (Plane.AXIAL, Plane.CORONAL, Plane.SAGITTAL)
    return min(planes, key=worth) if geometries else Plane.AXIAL
