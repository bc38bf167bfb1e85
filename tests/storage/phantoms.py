"""Small images with a known place in the world."""

from __future__ import annotations

import itertools
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt

SHAPE = (4, 5, 6)


def phantom(shape: tuple[int, ...] = SHAPE) -> npt.NDArray[np.int16]:
    """Every voxel has a value of its own, so that nothing can be swapped unnoticed."""
    return np.arange(np.prod(shape), dtype=np.int16).reshape(shape)


def all_orientations() -> list[npt.NDArray[np.float64]]:
    """The 48 ways to lay three array axes along the patient, as 3 x 3 matrices."""
    matrices = []
    for axes in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            matrix = np.zeros((3, 3))
            matrix[axes, range(3)] = signs
            matrices.append(matrix)
    return matrices


def oblique() -> npt.NDArray[np.float64]:
    """A rotation by 20, -15 and 10 degrees about the three axes."""
    rotation = np.eye(3)
    for axis, degrees in enumerate((20, -15, 10)):
        angle = np.radians(degrees)
        first, second = (a for a in range(3) if a != axis)
        one = np.eye(3)
        one[first, first] = one[second, second] = np.cos(angle)
        one[first, second], one[second, first] = -np.sin(angle), np.sin(angle)
        rotation = rotation @ one
    return rotation


def affine_of(directions: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Spacing 0.5 x 0.75 x 3 mm along the array's axes, an origin off zero."""
    affine = np.eye(4)
    affine[:3, :3] = directions @ np.diag([0.5, 0.75, 3.0])
    affine[:3, 3] = (-11.0, 23.5, 7.25)
    return affine


def write_nifti(path: Path, data: npt.NDArray[np.generic] | None = None) -> Path:
    """Write a plain NIfTI file that nibabel alone has made."""
    array = phantom() if data is None else data
    nib.save(nib.Nifti1Image(array, affine_of(np.diag([-1.0, 1.0, 1.0]))), path)
    return path
