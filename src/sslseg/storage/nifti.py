"""NIfTI files in their own axis order."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

from sslseg.core.geometry import Array
from sslseg.storage.arrays import write_atomic
from sslseg.storage.formats import (
    SourceHeader,
    check_affine,
    check_claim,
    refused,
    spatial_shape,
    unreadable,
)

_PLACE = [
    "pixdim", "xyzt_units", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d",
    "qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z",
]  # fmt: skip
"""Header fields that say where the voxels lie; everything else may hold names of people."""

_MILLIMETRES = {1: 1000.0, 3: 0.001}
"""How long the metre and the micron of `xyzt_units` are; everything else is mm, or does not say."""

_FAILURES = (ImageFileError, HeaderDataError, OSError, EOFError, ValueError, zlib.error)
_CHUNK = 1 << 24


def header(path: Path) -> SourceHeader:
    """Read and check the header of a NIfTI file; raises SslsegError."""
    return _checked(path, _open(path))


def voxels(path: Path) -> Array:
    """Read all voxels ``(I, J, K)``, to the last byte of the file; raises SslsegError.

    Unscaled data keep the file's dtype (native byte order), scaled data are float32.
    """
    image = _open(path)
    known = _checked(path, image)
    try:
        whole = type(image).from_bytes(_all_bytes(path, image))
        if _scaled(image):
            data = np.asarray(whole.dataobj, np.float32)
        else:
            data = whole.dataobj.get_unscaled()
        return np.asarray(data).reshape(known.shape).astype(known.dtype, copy=False)
    except _FAILURES as error:
        raise unreadable(path, error) from error


def files(path: Path) -> list[Path]:
    """Return the one file of the image."""
    return [path]


def write(path: Path, array: Array, affine: npt.NDArray[np.float64], like: Path | None) -> None:
    """Write ``(I, J, K)`` without any header text, whole or not at all.

    Parameters
    ----------
    path : Path
        Ends in ``.nii.gz`` or ``.nii``.
    array : ndarray
        In the file's axis order.
    affine : ndarray
        ``(4, 4)``, to RAS+ millimetres.
    like : Path or None
        A NIfTI file whose sform, qform, codes, voxel sizes and units are taken bit by bit.
    """
    if like is None:
        # the dtype in so many words, since nibabel does not take 64-bit integers for meant
        image = nib.Nifti1Image(array, affine, dtype=array.dtype)
        image.set_sform(affine, code=1)
        image.set_qform(affine, code=1)
        image.header.set_xyzt_units("mm")
    else:
        source = _open(like)
        place = type(source).header_class()
        for field in _PLACE:
            place[field] = source.header[field]
        place.set_data_dtype(array.dtype)
        image = type(source)(array, source.affine, place)  # in the unit of `like`, as it says
    data = image.to_bytes()
    write_atomic(path, gzip.compress(data, 6, mtime=0) if path.suffix == ".gz" else data)


def _open(path: Path) -> Any:
    """Return nibabel's image of a file, voxels not read yet."""
    try:
        image = nib.load(path, mmap=False)
    except _FAILURES as error:
        raise unreadable(path, error) from error
    if not isinstance(image, nib.Nifti1Image):
        raise unreadable(path, "not a NIfTI file")
    return image


def _checked(path: Path, image: Any) -> SourceHeader:
    dtype: np.dtype[Any] = image.get_data_dtype()
    if dtype.names or dtype.kind not in "biuf":
        raise refused(path, "colour or complex voxels", "one grey value for each voxel")
    shape = spatial_shape(path, tuple(int(n) for n in image.shape))
    claimed = dtype.itemsize * int(np.prod(shape, dtype=object))
    check_claim(path, claimed, path.stat().st_size)
    affine = _affine_mm(image)
    check_affine(path, affine)
    result = np.dtype(np.float32) if _scaled(image) else dtype.newbyteorder("=")
    return SourceHeader(shape, affine, result)


def _affine_mm(image: Any) -> npt.NDArray[np.float64]:
    """Return the affine to world millimetres, whatever unit of length the header says."""
    affine = np.array(image.affine, np.float64)
    affine[:3] *= _MILLIMETRES.get(int(image.header["xyzt_units"]) & 7, 1.0)
    return affine


def _scaled(image: Any) -> bool:
    return (image.dataobj.slope, image.dataobj.inter) != (1.0, 0.0)


def _all_bytes(path: Path, image: Any) -> bytes:
    """Return the file's content, unpacked. Reading to the end makes gzip compare its checksum."""
    voxel_bytes = image.get_data_dtype().itemsize * int(np.prod(image.shape, dtype=object))
    expected = image.dataobj.offset + voxel_bytes
    packed = path.suffix.lower() == ".gz"
    data = bytearray()
    with gzip.open(path) if packed else path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            data += chunk
            if len(data) > expected + _CHUNK:
                raise ValueError("far more data than the header claims")
    if len(data) < expected:
        raise ValueError(f"{len(data)} bytes where the header needs {expected}")
    return bytes(data)
