"""What the readers of single formats share: the header they return and the ways they refuse."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from sslseg.core.errors import SslsegError
from sslseg.core.geometry import Array

NIFTI_ENDINGS = (".nii.gz", ".nii")
ITK_ENDINGS = (".nrrd", ".nhdr", ".mha", ".mhd")

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""World axes of ITK and DICOM to those used here."""

_LARGEST_RATIO = 1200
"""Zeros compress 1028 : 1; a file that claims more than this was not made from an image."""


@dataclass(frozen=True)
class SourceHeader:
    """A file's grid in its own axis order.

    Parameters
    ----------
    shape : tuple of int
        Voxels along the file's axes, ``(I, J, K)``.
    affine : ndarray of float64
        ``(4, 4)``, file voxel index to world millimetres, RAS+.
    dtype : numpy dtype
        Of the voxels as read, after scaling.
    modality : str
        As the source says, such as "CT"; "" where it does not.
    """

    shape: tuple[int, int, int]
    affine: npt.NDArray[np.float64]
    dtype: np.dtype[np.generic]
    modality: str = ""


class SourceReader(Protocol):
    """What each format's module offers. All raise SslsegError for files they cannot take."""

    def header(self, path: Path, /) -> SourceHeader:
        """Read and check the grid."""

    def voxels(self, path: Path, /) -> Array:
        """Read all voxels ``(I, J, K)`` in the file's own axis order."""

    def files(self, path: Path, /) -> list[Path]:
        """Return the files that make up the image, in a fixed order."""


def spatial_shape(path: Path, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return a 3-D shape, dropping a last axis of length one; refuse everything else."""
    if len(shape) == 4 and shape[3] == 1:
        shape = shape[:3]
    if len(shape) != 3 or min(shape) < 1:
        raise refused(path, f"{len(shape)}-D data of shape {shape}", "one 3-D volume in each file")
    return (shape[0], shape[1], shape[2])


def check_affine(path: Path, affine: npt.NDArray[np.float64]) -> None:
    """Refuse a grid that is not a grid: undefined, flat or without extent."""
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.isfinite(affine).all() or not (lengths > 0).all():
        raise refused(path, "an undefined position in space", "a finite affine with real spacing")
    if abs(np.linalg.det(affine[:3, :3] / lengths)) < 1e-3:
        raise refused(path, "voxel axes that lie in one plane", "three independent axes")


def check_claim(path: Path, claimed: int, available: int) -> None:
    """Refuse a header that claims more bytes than memory holds or the file can contain."""
    if claimed > memory_budget():
        raise refused(
            path,
            f"a header claiming {claimed / 1e9:.1f} GB of voxels",
            f"at most {memory_budget() / 1e9:.1f} GB, half of this computer's memory",
        )
    if claimed > _LARGEST_RATIO * available:
        raise refused(
            path,
            f"a header claiming {claimed} bytes of voxels in a file of {available} bytes",
            "a header that fits its file",
        )


def memory_budget() -> int:
    """Return how many bytes one volume may take: half of the memory, 8 GB where unknown."""
    if hasattr(os, "sysconf"):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    return 8_000_000_000


def refused(path: Path, what: str, expected: str) -> SslsegError:
    """Return the error for a file that was read and cannot be used."""
    return SslsegError(f"{what} in {path}", expected, "Convert the file, then add it again.")


def unreadable(path: Path, reason: object) -> SslsegError:
    """Return the error for a file that cannot be read to its end."""
    detail = " ".join(str(reason).split())[:160] or type(reason).__name__
    return SslsegError(
        f"an unreadable file {path} ({detail})",
        "a complete image file",
        "Copy it again from its source; nothing was changed.",
    )
