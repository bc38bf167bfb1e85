"""NRRD and MetaImage files in their own axis order, through SimpleITK."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import SimpleITK as sitk

from sslseg.core.errors import SslsegError
from sslseg.core.geometry import Array
from sslseg.storage.arrays import publish, sync_file
from sslseg.storage.formats import (
    LPS_TO_RAS,
    SourceHeader,
    check_affine,
    check_claim,
    refused,
    spatial_shape,
    unreadable,
)
from sslseg.storage.remedy import remedy

_DETACHED = re.compile(rb"^\s*(?:data ?file|ElementDataFile)\s*[:=]\s*(.+?)\s*$", re.I | re.M)
_DTYPES = {
    sitk.sitkUInt8: np.uint8,
    sitk.sitkInt8: np.int8,
    sitk.sitkUInt16: np.uint16,
    sitk.sitkInt16: np.int16,
    sitk.sitkUInt32: np.uint32,
    sitk.sitkInt32: np.int32,
    sitk.sitkUInt64: np.uint64,
    sitk.sitkInt64: np.int64,
    sitk.sitkFloat32: np.float32,
    sitk.sitkFloat64: np.float64,
}


def files(path: Path) -> list[Path]:
    """Return the files that make up an image: the header, and its data where they lie apart.

    Raises
    ------
    SslsegError
        If the data are spread over many files, lie outside the header's folder or are missing.
    """
    if path.suffix.lower() not in (".nhdr", ".mhd"):
        return [path]
    found = _DETACHED.search(path.read_bytes()[:65536])
    name = found.group(1).decode(errors="replace") if found else ""
    if not name or name.upper().startswith("LIST") or "%" in name or Path(name).name != name:
        raise refused(path, "image data in several files or another folder", "one data file beside")
    data = path.with_name(name)
    if not data.is_file():
        raise SslsegError(
            f"a header {path} without its data file {name}",
            "both files in one folder",
            "Copy the data file beside the header.",
        )
    return [path, data]


def header(path: Path) -> SourceHeader:
    """Read and check the header of an NRRD or MetaImage file; raises SslsegError."""
    size = sum(file.stat().st_size for file in files(path))
    reader = _reader(path)
    if reader.GetNumberOfComponents() != 1 or reader.GetPixelID() not in _DTYPES:
        raise refused(path, "colour or vector voxels", "one grey value for each voxel")
    shape = spatial_shape(path, tuple(int(n) for n in reader.GetSize()))
    dtype = np.dtype(_DTYPES[reader.GetPixelID()])
    claimed = dtype.itemsize * int(np.prod(shape, dtype=object))
    check_claim(path, claimed, size)
    origin, spacing, direction = _place(reader)
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(direction, (3, 3)) * np.asarray(spacing)
    affine[:3, 3] = origin
    affine = LPS_TO_RAS @ affine
    check_affine(path, affine)
    return SourceHeader(shape, affine, dtype)


def voxels(path: Path) -> Array:
    """Read all voxels ``(I, J, K)`` in the file's dtype; raises SslsegError."""
    known = header(path)
    try:
        array = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    except RuntimeError as error:
        raise unreadable(path, _reason(error)) from error
    return np.asarray(array).reshape(known.shape[::-1]).transpose(2, 1, 0)


def write(path: Path, array: Array, like: Path) -> None:
    """Write ``(I, J, K)`` with the origin, spacing and direction of `like`, compressed.

    Parameters
    ----------
    path : Path
        Ends in ``.nrrd`` or ``.mha``; the file is whole or absent.
    array : ndarray
        In the axis order of `like`.
    like : Path
        An NRRD or MetaImage file.
    """
    origin, spacing, direction = _place(_reader(like))
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
    image.SetOrigin(origin)
    image.SetSpacing(spacing)
    image.SetDirection(direction)
    temporary = path.with_name(f".{uuid4().hex[:8]}{path.suffix}")
    try:
        sitk.WriteImage(image, str(temporary), useCompression=True)
        sync_file(temporary)
        publish(temporary, path)
    except (RuntimeError, OSError) as error:
        temporary.unlink(missing_ok=True)
        raise SslsegError(
            f"a failure while writing {path}",
            f"room and permission to write in {path.parent}",
            f"{remedy(error)}, or choose another folder.",
        ) from error


def _reader(path: Path) -> Any:
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise unreadable(path, _reason(error)) from error
    return reader


def _place(reader: Any) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
    """Return origin, spacing and direction of the three spatial axes, in ITK's LPS+ world."""
    dimension = reader.GetDimension()
    direction = np.reshape(reader.GetDirection(), (dimension, dimension))[:3, :3]
    return reader.GetOrigin()[:3], reader.GetSpacing()[:3], tuple(direction.ravel().tolist())


def _reason(error: RuntimeError) -> str:
    """Return the last line of an ITK error, without the addresses before it."""
    return str(error).strip().splitlines()[-1]
