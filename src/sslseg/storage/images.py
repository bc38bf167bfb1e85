"""Image files in and out. This is the one place where arrays are reoriented.

Everything read is RAS+; everything written lies exactly on the grid of its source.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sslseg.core.annotation import BACKGROUND
from sslseg.core.errors import SslsegError
from sslseg.core.features import image_features
from sslseg.core.geometry import Array, Geometry, Reorientation
from sslseg.core.volume import CaseRecord, Volume
from sslseg.storage.arrays import make_folder
from sslseg.storage.formats import (
    ITK_ENDINGS,
    NIFTI_ENDINGS,
    SourceHeader,
    SourceReader,
    unreadable,
)

_CHUNK = 1 << 20


@dataclass(frozen=True)
class ImageHeader:
    """What a file says about its image without its voxels.

    Parameters
    ----------
    geometry : Geometry
        RAS+ grid.
    reorientation : Reorientation
        From the file's axes to RAS+.
    dtype : numpy dtype
        Of the voxels as `read_volume` returns them (for DICOM: at most this wide).
    modality : str
        As the source says, such as "CT"; "" where it does not.
    """

    geometry: Geometry
    reorientation: Reorientation
    dtype: np.dtype[np.generic]
    modality: str = ""


def read_header(path: Path) -> ImageHeader:
    """Read the grid of an image file or DICOM folder.

    Raises
    ------
    SslsegError
        If it is missing, of unknown type, unreadable or not one grey 3-D volume.
    """
    return _to_ras(_reader(path).header(path))


def read_volume(path: Path) -> Volume:
    """Read an image file or DICOM folder whole, as RAS+.

    Parameters
    ----------
    path : Path
        NIfTI (3-D, or 4-D with a last axis of 1), NRRD, MetaImage, or a folder with one DICOM
        series.

    Returns
    -------
    Volume
        Voxels in the file's own dtype; float32 where the file scales them.

    Raises
    ------
    SslsegError
        As `read_header`, and for truncated or damaged data.
    """
    reader = _reader(path)
    found = _to_ras(reader.header(path))
    voxels = reader.voxels(path)
    data = np.ascontiguousarray(found.reorientation.to_ras(voxels))
    return Volume(data, found.geometry, found.reorientation, found.modality)


def describe(path: Path, volume: Volume | None = None) -> CaseRecord:
    """Return the record that a project keeps of an image, which is read to its last byte.

    Parameters
    ----------
    path : Path
        The image.
    volume : Volume or None
        What `read_volume` returned for it, if it was read already.

    Raises
    ------
    SslsegError
        As `read_volume`.
    """
    volume = volume or read_volume(path)
    if not np.isfinite(volume.data).any():
        raise SslsegError(
            f"no finite voxel in {path}",
            "an image with intensities that are numbers",
            "Open it in another viewer, or export it again from its source.",
        )
    return CaseRecord(
        name=case_name(path),
        source=str(path.absolute()),
        sha256=fingerprint(path),
        geometry=volume.geometry,
        reorientation=volume.reorientation,
        modality=volume.modality,
        features=tuple(image_features(volume.data, volume.geometry.spacing).tolist()),
    )


def case_name(path: Path) -> str:
    """Return the file's name without its image ending; for DICOM the folder's name."""
    ending = "" if path.is_dir() else _ending(path)
    name = path.name or path.absolute().name
    return name[: len(name) - len(ending)]


def is_image(path: Path) -> bool:
    """Tell by its name whether a file is an image that `read_volume` takes."""
    hidden = path.name.startswith(".")  # as the companions that macOS puts into archives
    return path.is_file() and bool(_ending(path)) and not hidden


def label_files(folder: Path) -> dict[str, Path]:
    """Return the image files of a folder by case name, if any; SslsegError if it is no folder."""
    if not folder.is_dir():
        raise SslsegError(
            f"no folder {folder}", "a folder with one label file per case", "Check the path."
        )
    return {case_name(path): path for path in sorted(folder.iterdir()) if is_image(path)}


def fingerprint(path: Path) -> str:
    """Return the SHA-256 of a source's bytes; of all its files, sorted, where it has several.

    Raises
    ------
    SslsegError
        If one of them cannot be read.
    """
    digest = hashlib.sha256()
    for file in _reader(path).files(path):
        try:
            with file.open("rb") as stream:
                while chunk := stream.read(_CHUNK):
                    digest.update(chunk)
        except OSError as error:
            raise unreadable(file, error) from error
    return digest.hexdigest()


def read_labels(
    path: Path, volume_geometry: Geometry, reorientation: Reorientation
) -> npt.NDArray[np.uint8]:
    """Read a label file that lies on a case's grid.

    Parameters
    ----------
    path : Path
        Any format that `read_volume` takes; its own axis order may differ from the image's.
    volume_geometry : Geometry
        RAS+ grid of the case.
    reorientation : Reorientation
        Of the case's image; decides where an oblique grid is as near to one axis as to another.

    Returns
    -------
    ndarray of uint8
        ``(X, Y, Z)``, RAS+, 0 to 254.

    Raises
    ------
    SslsegError
        If the grid differs, or a voxel is no whole number from 0 to 254.
    """
    volume = read_volume(path)
    data, geometry = volume.data, volume.geometry
    if not geometry.same_grid(volume_geometry):
        found = _reader(path).header(path)
        data = reorientation.to_ras(volume.reorientation.to_source(data))
        geometry = _geometry(found, reorientation)
    if not geometry.same_grid(volume_geometry):
        raise SslsegError(
            f"labels {path} of {_words(volume.geometry)}",
            f"the grid of the image, {_words(volume_geometry)}",
            "Choose the label file that was made on this image.",
        )
    if not (np.isfinite(data).all() and data.min() >= 0 and data.max() < BACKGROUND):
        raise _not_labels(path)
    labels = data.astype(np.uint8)
    if not np.array_equal(labels, data):
        raise _not_labels(path)
    return np.ascontiguousarray(labels)


def label_ending(source: Path) -> str:
    """Return the ending of masks for a source: its own format, NIfTI for DICOM."""
    if source.is_dir() or _ending(source) in NIFTI_ENDINGS:
        return ".nii.gz"
    return ".nrrd" if _ending(source) in (".nrrd", ".nhdr") else ".mha"


def write_labels(
    path: Path, labels_ras: npt.NDArray[np.uint8], case: CaseRecord, source: Path
) -> None:
    """Write a mask exactly on the grid of its source, without any header text.

    Parameters
    ----------
    path : Path
        Ends as `label_ending` says, or in ``.nii.gz`` for any source. Whole or absent.
    labels_ras : ndarray of uint8
        ``(X, Y, Z)``, RAS+.
    case : CaseRecord
        The case of the mask.
    source : Path
        The case's image; read for its header.

    Raises
    ------
    SslsegError
        If the source is gone or has another grid than when it was added, or on a full disk.
    """
    write_volume(path, labels_ras.astype(np.uint8, copy=False), case, source)


def refuse_overwriting(path: Path, source: Path) -> None:
    """Raise SslsegError where a mask would replace its image, or lie among the slices of one."""
    taken = path.parent if source.is_dir() else path
    if taken.resolve() == source.resolve():
        raise _among_images(path.parent, source)


def refuse_images_folder(folder: Path, source: Path) -> None:
    """Raise SslsegError where masks would lie among the images, or the slices of one.

    There one might replace the same image in another of its formats.
    """
    images = source if source.is_dir() else source.parent
    if folder.resolve() == images.resolve():
        raise _among_images(folder, source)


def _among_images(folder: Path, source: Path) -> SslsegError:
    return SslsegError(
        f"{folder}, the folder that holds the image {source.name}",
        "another folder than the images'",
        "Choose another folder; images are never written to.",
    )


def write_volume(path: Path, data_ras: Array, case: CaseRecord, source: Path) -> None:
    """Write any RAS+ array ``(X, Y, Z)`` on the grid of its source, as `write_labels` does."""
    refuse_overwriting(path, source)
    if data_ras.shape != case.geometry.shape:
        raise SslsegError(
            f"an array of shape {data_ras.shape} for {case.name}",
            f"the shape of its image, {case.geometry.shape}",
            "Predict the case again.",
        )
    found = _reader(source).header(source)
    if not _geometry(found, case.reorientation).same_grid(case.geometry):
        raise SslsegError(
            f"{source}, changed since it was added",
            f"the grid of case {case.name}, {_words(case.geometry)}",
            "Put the original file back.",
        )
    array = np.ascontiguousarray(case.reorientation.to_source(data_ras))
    make_folder(path.parent)
    from sslseg.storage import itk, nifti

    is_nifti = not source.is_dir() and _ending(source) in NIFTI_ENDINGS
    if _ending(path) in NIFTI_ENDINGS:
        nifti.write(path, array, found.affine, source if is_nifti else None)
    elif not is_nifti and not source.is_dir() and _ending(path) in (".nrrd", ".mha"):
        itk.write(path, array, source)
    else:
        raise ValueError(f"cannot write {path.name} for {source.name}")


def _reader(path: Path) -> SourceReader:
    """Return the module that reads a file; imported here, since each takes long to load."""
    if not path.exists():
        raise SslsegError(
            f"no file {path}", "an image file or a DICOM folder", "Check the path, or the drive."
        )
    if path.is_dir():
        from sslseg.storage import dicom

        return dicom
    if _ending(path) in NIFTI_ENDINGS:
        from sslseg.storage import nifti

        return nifti
    if _ending(path) in ITK_ENDINGS:
        from sslseg.storage import itk

        return itk
    raise SslsegError(
        f"a file of unknown type, {path}",
        "NIfTI (.nii, .nii.gz), NRRD, MetaImage (.mha, .mhd) or a folder with a DICOM series",
        "Convert the file, then add it again.",
    )


def _to_ras(found: SourceHeader) -> ImageHeader:
    """Find the nearest RAS+ axes."""
    from nibabel import orientations

    nearest = orientations.io_orientation(found.affine)
    axes = [int(np.flatnonzero(nearest[:, 0] == axis)[0]) for axis in range(3)]
    reorientation = Reorientation.model_validate(
        {"axes": axes, "flips": [bool(nearest[axis, 1] < 0) for axis in axes]}
    )
    geometry = _geometry(found, reorientation)
    return ImageHeader(geometry, reorientation, found.dtype, found.modality)


def _geometry(found: SourceHeader, reorientation: Reorientation) -> Geometry:
    """Return the grid of the reoriented array; the world stays where it is."""
    steps = np.zeros((4, 4))
    steps[3, 3] = 1.0
    for ras, (source, flip) in enumerate(zip(reorientation.axes, reorientation.flips, strict=True)):
        steps[source, ras] = -1.0 if flip else 1.0
        steps[source, 3] = found.shape[source] - 1 if flip else 0.0
    shape = tuple(found.shape[axis] for axis in reorientation.axes)
    return Geometry.of(shape, found.affine @ steps)


def _ending(path: Path) -> str:
    name = path.name.lower()
    return next((e for e in (*NIFTI_ENDINGS, *ITK_ENDINGS) if name.endswith(e)), "")


def _words(geometry: Geometry) -> str:
    spacing = " x ".join(f"{value:.3g}" for value in geometry.spacing)
    origin = ", ".join(f"{value:.1f}" for value in geometry.matrix[:3, 3])
    shape = " x ".join(str(n) for n in geometry.shape)
    return f"{shape} voxels of {spacing} mm from ({origin}) in RAS+ order"


def _not_labels(path: Path) -> SslsegError:
    return SslsegError(
        f"values in {path} that are no class numbers",
        "whole numbers from 0 to 254, 0 for background",
        "Choose a label file, not an image or a probability map; in a mask let 255 be 1.",
    )
