"""One DICOM series in a folder, in its own axis order: column, row, slice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
import SimpleITK as sitk
from pydicom.errors import InvalidDicomError

from sslseg.core.errors import SslsegError
from sslseg.core.geometry import LEAST_MM, LEAST_SHARE, Array
from sslseg.storage.formats import (
    LPS_TO_RAS,
    SourceHeader,
    check_affine,
    check_claim,
    refused,
    spatial_shape,
    unreadable,
)

_TAGS = [
    "SeriesInstanceUID", "SeriesNumber", "SeriesDescription", "Modality", "SamplesPerPixel",
    "NumberOfFrames", "Rows", "Columns", "BitsAllocated", "PixelSpacing", "SliceThickness",
    "ImagePositionPatient", "ImageOrientationPatient", "RescaleSlope", "RescaleIntercept",
]  # fmt: skip
_GAP_TOLERANCE = 0.01
"""Of a slice gap; scanners round positions, so 0.01 mm is allowed too, up to a fifth of a gap."""

_OF_BROWSERS = ("thumbs.db", "desktop.ini")
"""What browsers of files leave in folders, and may hold open."""


def header(folder: Path) -> SourceHeader:
    """Read and check the one series in a folder; raises SslsegError."""
    return _header(folder, _series(folder))


def voxels(folder: Path) -> Array:
    """Read all voxels ``(I, J, K)``, rescaled (CT in Hounsfield units); raises SslsegError.

    Integers stay integers where the rescaling is, otherwise float32.
    """
    series = _series(folder)
    known = _header(folder, series)
    slices = []
    for path, _ in series:
        try:
            slices.append(sitk.GetArrayFromImage(sitk.ReadImage(str(path)))[0].T)
        except RuntimeError as error:
            raise unreadable(path, str(error).strip().splitlines()[-1]) from error
    array = np.stack(slices, axis=2)
    if array.shape != known.shape:
        raise refused(folder, f"images of shape {array.shape[:2]}", f"all of {known.shape[:2]}")
    return array.astype(np.float32) if array.dtype.kind == "f" else array


def files(folder: Path) -> list[Path]:
    """Return the slices of the series in a folder, sorted by name; raises SslsegError.

    Whatever else lies there, such as the thumbnails of a file browser, is no part of the image.
    """
    return sorted(path for path, _ in _series(folder))


def _series(folder: Path) -> list[tuple[Path, Any]]:
    """Return the images of a folder from the first to the last along their common normal."""
    visible = (p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
    images = [(path, data) for path in sorted(visible) if (data := _image(path)) is not None]
    if not images:
        raise SslsegError(
            f"no DICOM images in {folder}",
            "the files of one series in that folder",
            "Choose the folder that holds the images themselves.",
        )
    _refuse_several(folder, [data for _, data in images])
    first = images[0][1]
    normal = _normal(first)
    for path, data in images:
        if not np.allclose(data.ImageOrientationPatient, first.ImageOrientationPatient, atol=1e-3):
            raise refused(path, "an image turned against the first", "parallel images")
        if (data.Rows, data.Columns) != (first.Rows, first.Columns) or not np.allclose(
            data.PixelSpacing, first.PixelSpacing, rtol=1e-3
        ):
            raise refused(path, "an image on another grid than the first", "equal images")
    return sorted(images, key=lambda item: float(_position(item[1]) @ normal))


def _image(path: Path) -> Any | None:
    """Return the tags of a DICOM image that lies in space; None for every other file.

    A file that the system does not let us read might have been one of the slices.
    """
    try:
        data = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_TAGS)
    except OSError as error:
        if error.errno is not None and path.name.lower() not in _OF_BROWSERS:
            raise unreadable(path, error) from error
        return None
    except (InvalidDicomError, ValueError, EOFError):
        return None
    if "Rows" not in data or "SeriesInstanceUID" not in data:
        return None
    if int(data.get("NumberOfFrames") or 1) > 1 or int(data.get("SamplesPerPixel") or 1) != 1:
        raise refused(path, "a multi-frame or colour DICOM image", "one grey slice in each file")
    if not all(data.get(tag) for tag in _TAGS if tag.startswith(("Image", "PixelS"))):
        raise refused(path, "a DICOM image without position or spacing", "a slice of a volume")
    return data


def _refuse_several(folder: Path, images: list[Any]) -> None:
    names = {}
    for data in images:
        description = data.get("SeriesDescription") or "no description"
        names[data.SeriesInstanceUID] = f"{data.get('SeriesNumber', '?')} ({description})"
    if len(names) > 1:
        raise SslsegError(
            f"{len(names)} DICOM series in {folder}: {', '.join(sorted(names.values()))}",
            "one series in each folder",
            "Move each series to its own folder and add those.",
        )


def _header(folder: Path, series: list[tuple[Path, Any]]) -> SourceHeader:
    first = series[0][1]
    shape = spatial_shape(folder, (int(first.Columns), int(first.Rows), len(series)))
    size = sum(path.stat().st_size for path, _ in series)
    claimed = int(np.prod(shape, dtype=object)) * int(first.get("BitsAllocated") or 16) // 8
    check_claim(folder, claimed, size)
    orientation = np.asarray(first.ImageOrientationPatient, np.float64)
    row_mm, column_mm = (float(value) for value in first.PixelSpacing)
    affine = np.eye(4)
    affine[:3, 0] = orientation[:3] * column_mm
    affine[:3, 1] = orientation[3:] * row_mm
    affine[:3, 2] = _step(folder, [data for _, data in series])
    affine[:3, 3] = _position(first)
    affine = LPS_TO_RAS @ affine
    check_affine(folder, affine)
    slopes = [float(data.get("RescaleSlope") or 1) for _, data in series]
    offsets = [float(data.get("RescaleIntercept") or 0) for _, data in series]
    whole = all(value.is_integer() for value in slopes + offsets)
    dtype = np.dtype(np.int32 if whole else np.float32)
    return SourceHeader(shape, affine, dtype, str(first.get("Modality") or ""))


def _step(folder: Path, images: list[Any]) -> npt.NDArray[np.float64]:
    """Return the way from one slice to the next in mm; refuse tilt and uneven gaps."""
    normal = _normal(images[0])
    if len(images) == 1:
        return normal * float(images[0].get("SliceThickness") or 1.0)
    positions = np.array([_position(data) for data in images])
    moves = np.diff(positions, axis=0)
    gaps = moves @ normal
    typical = float(np.median(gaps))
    allowed = max(_GAP_TOLERANCE * typical, min(LEAST_MM, LEAST_SHARE * typical))
    if gaps.min() <= allowed:
        raise refused(folder, "two images at one place", "one image for each slice position")
    aside = np.linalg.norm(moves - np.outer(gaps, normal), axis=1)
    if aside.max() > allowed:
        tilt = np.degrees(np.arctan2(aside, gaps).max())
        raise refused(folder, f"a gantry tilt of {tilt:.1f} degrees", "slices stacked upright")
    if np.abs(gaps - typical).max() > allowed:
        raise refused(
            folder,
            f"uneven slice gaps, {gaps.min():.2f} to {gaps.max():.2f} mm",
            "equally spaced slices",
        )
    step: npt.NDArray[np.float64] = (positions[-1] - positions[0]) / (len(images) - 1)
    return step


def _normal(data: Any) -> npt.NDArray[np.float64]:
    orientation = np.asarray(data.ImageOrientationPatient, np.float64)
    return np.cross(orientation[:3], orientation[3:])


def _position(data: Any) -> npt.NDArray[np.float64]:
    return np.asarray(data.ImagePositionPatient, np.float64)
