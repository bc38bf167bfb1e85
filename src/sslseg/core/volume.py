"""A case and its image."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from sslseg.core.geometry import Array, Geometry, Reorientation


class ClassLabel(BaseModel):
    """One thing to segment. `value` is its number in label arrays (1, 2, ...; 0 is background)."""

    model_config = ConfigDict(frozen=True)
    value: int
    name: str
    color: str


class CaseRecord(BaseModel):
    """What the project knows of one case.

    Parameters
    ----------
    name : str
        Unique in the project; the image file's name without its ending.
    source : str
        The image file or DICOM folder, relative to the project folder where possible.
    sha256 : str
        Of the file's bytes (for DICOM of the slices', sorted by file name) when it was added.
    geometry : Geometry
        RAS+ grid.
    reorientation : Reorientation
        From the file's axes to RAS+.
    modality : str
        "CT" where the source says so, otherwise "".
    domain : str
        Scanner, site or sequence; "" where nobody said.
    features : tuple of float
        Describes the image for a diverse choice of cases; empty where it was not computed.
    """

    model_config = ConfigDict(frozen=True)
    name: str
    source: str
    sha256: str
    geometry: Geometry
    reorientation: Reorientation
    modality: str = ""
    domain: str = ""
    features: tuple[float, ...] = ()


@dataclass(frozen=True)
class Volume:
    """An image in memory.

    Parameters
    ----------
    data : ndarray
        ``(X, Y, Z)``, RAS+, in the file's own intensities and dtype.
    geometry : Geometry
        The grid of `data`.
    reorientation : Reorientation
        From the file's axes to RAS+.
    modality : str
        "CT" where the source says so, otherwise "".
    """

    data: Array
    geometry: Geometry
    reorientation: Reorientation
    modality: str = ""
