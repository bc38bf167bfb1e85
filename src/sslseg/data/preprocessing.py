"""From a file's intensities to the network's: done once per case and kept in the cache."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from skimage.transform import resize

from sslseg.core.annotation import IGNORE, SliceState
from sslseg.core.control import Control
from sslseg.core.errors import SslsegError, Unwritable
from sslseg.core.events import Progress
from sslseg.core.geometry import Array
from sslseg.core.volume import CaseRecord, Volume
from sslseg.storage.arrays import sha256, write_atomic
from sslseg.storage.handles import EXHAUSTED, allow_open_files
from sslseg.storage.sources import read_unchanged
from sslseg.storage.store import ProjectStore

VERSION = 4
"""Raised when the arrays below change meaning; older cache entries are then made anew."""

CLIP = (0.5, 99.5)
AIR_HU, LEAST_HU, FAINTER = -500.0, -1000.0, 0.25
LOWEST_HU, VOID_HU, AIR_SHARE, SAMPLED = -3100, -900, 0.05, 1_000_000
"""What Hounsfield units go down to, with and without the void around the scanner's field; the share
of air from which a volume passes for CT; about how many voxels are looked at."""

PART = 1 << 20

TELL_SECONDS = 0.5
SETTLED_SECONDS = 3.0

Spacing = tuple[float | None, float | None, float | None]
"""Target voxel size in mm along RAS axes; None keeps the case's own."""


@dataclass(frozen=True)
class PreparedCase:
    """A case as the engine sees it.

    Parameters
    ----------
    record : CaseRecord
        The case.
    image : ndarray of float16
        ``(X', Y', Z')`` RAS+, z-scored, on the training grid; memory-mapped.
    """

    record: CaseRecord
    image: npt.NDArray[np.float16]


def normalise(data: Array, modality: str = "") -> npt.NDArray[np.float32]:
    """Clip to robust percentiles and z-score.

    Percentiles 0.5 and 99.5, mean and deviation are of the finite voxels; on CT of those denser
    than -500 HU, so that the air around a patient does not set the scale. Below the percentile a
    quarter of the contrast is kept down to air, -1000 HU, so that a lung still differs from what it
    holds. Most formats do not say what is CT; then it is what `in_hounsfield` takes for it.
    Non-finite voxels become the least value; a constant volume becomes zeros.

    Parameters
    ----------
    data : ndarray
        ``(X, Y, Z)``, any numeric dtype.
    modality : str
        "CT" or "".
    """
    values = np.array(data, dtype=np.float32)  # a copy: the rest happens in place, a CT is large
    finite = np.isfinite(values)
    is_ct = modality == "CT" or in_hounsfield(data)
    chosen = values[finite & (values > AIR_HU)] if is_ct else values[finite]
    if chosen.size == 0:
        return np.zeros(values.shape, np.float32)
    low, high = np.percentile(chosen, CLIP)
    mean, deviation = _moments(np.clip(chosen, low, high, out=chosen))
    if low == high or deviation == 0:
        return np.zeros(values.shape, np.float32)
    least = min(low, LEAST_HU) if is_ct else low
    values[~finite] = least
    np.clip(values, least, high, out=values)
    below = values < low  # nothing but on CT
    values[below] = low + FAINTER * (values[below] - low)
    values -= mean
    values /= deviation
    return values


def in_hounsfield(data: Array) -> bool:
    """Tell by its voxels whether a volume is a CT: it reaches the density of air, and often.

    Resampled ones hold no whole numbers.
    """
    sample = data.ravel(order="K")[:: max(1, data.size // SAMPLED)].astype(np.float32)
    if not np.isfinite(sample).all() or not LOWEST_HU <= sample.min() <= VOID_HU:
        return False
    return bool((sample < AIR_HU).mean() > AIR_SHARE)


def _moments(values: npt.NDArray[np.float32]) -> tuple[float, float]:
    """Return mean and standard deviation of ``(N,)``, summed in float64 part by part."""
    parts = np.array_split(values, math.ceil(values.size / PART))
    mean = sum(part.sum(dtype=np.float64) for part in parts) / values.size
    squares = sum(np.square(part - mean, dtype=np.float64).sum() for part in parts)
    return float(mean), float(np.sqrt(squares / values.size))


def grid_shape(record: CaseRecord, spacing: Spacing) -> tuple[int, int, int]:
    """Return the case's shape on the training grid."""
    geometry = record.geometry
    sides = [
        side if target is None else max(1, round(side * own / target))
        for side, own, target in zip(geometry.shape, geometry.spacing, spacing, strict=True)
    ]
    return (sides[0], sides[1], sides[2])


def resample(data: Array, shape: Sequence[int]) -> npt.NDArray[np.float32]:
    """Resample intensities or one probability ``(X, Y, Z)`` linearly to `shape`."""
    if tuple(data.shape) == tuple(shape):
        return np.asarray(data, dtype=np.float32)
    shrinks = any(new < old for new, old in zip(shape, data.shape, strict=True))
    resized = resize(
        np.asarray(data, np.float32), shape, order=1, mode="edge", anti_aliasing=shrinks
    )
    return np.asarray(resized, dtype=np.float32)


def resample_target(target: Array, shape: Sequence[int]) -> npt.NDArray[np.int16]:
    """Resample a target ``(X, Y, Z)`` with IGNORE to `shape`, keeping every annotated slice.

    Nearest neighbour; then each annotated voxel that no new voxel chose (a thin slice on a
    coarser grid) is written onto its nearest new voxel if nothing is known there.
    """
    if tuple(target.shape) == tuple(shape):
        return np.asarray(target, dtype=np.int16)
    picks = [
        np.minimum(((np.arange(new) + 0.5) * old / new).astype(int), old - 1)
        for new, old in zip(shape, target.shape, strict=True)
    ]
    result = np.asarray(target[np.ix_(*picks)], dtype=np.int16)
    free = result == IGNORE
    if not free.any():  # as of dense labels: places of all their voxels would take gigabytes
        return result
    nearest = [
        np.minimum(((np.arange(old) + 0.5) * new / old).astype(int), new - 1)
        for new, old in zip(shape, target.shape, strict=True)
    ]
    for x, across in zip(nearest[0], target, strict=True):
        known = np.nonzero(across != IGNORE)
        there = tuple(places[index] for places, index in zip(nearest[1:], known, strict=True))
        wanted = free[x][there]
        result[x][tuple(place[wanted] for place in there)] = across[known][wanted]
    return result


def prepare(record: CaseRecord, volume: Volume, spacing: Spacing) -> npt.NDArray[np.float16]:
    """Return the case's image on the training grid, float16 ``(X', Y', Z')``.

    X runs fastest, as in most files: of a CT in the cache an axial slice is then half a megabyte in
    one piece, and not a few bytes from each page of the whole file.
    """
    image = normalise(volume.data, volume.modality)
    return resample(image, grid_shape(record, spacing)).astype(np.float16, order="F")


def cache_file(project: Path, record: CaseRecord, spacing: Spacing) -> Path:
    """Return where the prepared image of a case is kept; the name says all it depends on."""
    key = json.dumps([VERSION, record.sha256, spacing, record.modality])
    digest = hashlib.sha256(key.encode()).hexdigest()[:16]
    return project / "cache" / f"{record.name}-{digest}.npy"


def load_prepared(store: ProjectStore, record: CaseRecord, spacing: Spacing) -> PreparedCase:
    """Return a case from the cache, preparing it first where it is missing or damaged."""
    path = cache_file(store.path, record, spacing)
    image = _read_cached(path, grid_shape(record, spacing))
    if image is None:
        made = prepare(record, read_unchanged(store, record), spacing)
        _write_cached(path, made)
        image = _read_cached(path, made.shape)
    return PreparedCase(record, made if image is None else image)


def prepare_all(
    store: ProjectStore,
    records: Sequence[CaseRecord],
    spacing: Spacing,
    control: Control,
    needed: Collection[str] | None = None,
) -> Iterator[Progress]:
    """Fill the cache, reporting each case, and read through what is there; stops between cases.

    Parameters
    ----------
    needed : collection of str, optional
        Cases that cannot be done without; where not given, those that somebody labelled. Images of
        others may be gone.

    Raises
    ------
    Cancelled
        When the control asks for it.
    SslsegError
        When the source of a needed case vanished or cannot be read, or the cache not be written.
    """
    allow_open_files(len(records))
    needed = labelled(store) if needed is None else needed
    missing = [r for r in records if not cache_file(store.path, r, spacing).exists()]
    for done, record in enumerate(missing):
        control.check()
        load_if_readable(store, record, spacing, needed)
        yield Progress(task="Preparing volumes", done=done + 1, total=len(missing))
    made = {record.name for record in missing}
    there = [record for record in records if record.name not in made]
    told = time.monotonic()
    for done, record in enumerate(there):  # what this process has not read yet is read through
        control.check()
        load_if_readable(store, record, spacing, needed)
        if time.monotonic() - told > TELL_SECONDS:
            told = time.monotonic()
            yield Progress(task="Checking volumes", done=done + 1, total=len(there))


def labelled(store: ProjectStore) -> set[str]:
    """Return the cases of which somebody annotated a slice: no training can do without them."""
    return {r.key.case for r in store.slices() if r.state is not SliceState.NONE}


def load_if_readable(
    store: ProjectStore, record: CaseRecord, spacing: Spacing, needed: Collection[str]
) -> PreparedCase | SslsegError:
    """Return a case as `load_prepared` does; what is wrong with its image where none needs it.

    Raises
    ------
    SslsegError
        Of a needed case; of any where the cache cannot be written or no more files be opened.
    """
    try:
        return load_prepared(store, record, spacing)
    except Unwritable:
        raise
    except SslsegError as error:
        if record.name in needed or getattr(error.__cause__, "errno", None) in EXHAUSTED:
            raise
        return error


def seal_file(path: Path) -> Path:
    """Return where the checksum of a cached array lies."""
    return path.with_suffix(".sha256")


def _read_cached(path: Path, shape: Sequence[int]) -> Any:
    if not path.exists():
        return None
    try:
        if not _is_sound(path):
            return None
        image = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        if isinstance(error, OSError) and error.errno in EXHAUSTED:
            raise SslsegError(
                f"'{error.strerror}' while reading {path}",
                "a system that lets a program hold a file open for each volume",
                "Raise the limit of open files (ulimit -n), or close other programs.",
            ) from error
        return None
    return image if image.shape == tuple(shape) and image.dtype == np.float16 else None


def _is_sound(path: Path) -> bool:
    """Tell whether a cached array holds the bytes that were written.

    A file is read through once in a process, and again when its size or time differs. A time just
    past proves nothing: some clocks of files tick once in two seconds.
    """
    facts = path.stat()
    told = seal_file(path).read_text(encoding="ascii")
    if time.time() - facts.st_mtime < SETTLED_SECONDS:
        return sha256(path) == told
    return _is_as_told(path, told, facts.st_size, facts.st_mtime_ns)


@lru_cache(maxsize=10_000)
def _is_as_told(path: Path, told: str, _size: int, _changed: int) -> bool:
    return sha256(path) == told


def _write_cached(path: Path, image: npt.NDArray[np.float16]) -> None:
    buffer = BytesIO()
    np.save(buffer, image, allow_pickle=False)
    path.parent.mkdir(exist_ok=True)
    write_atomic(path, buffer.getvalue())
    write_atomic(seal_file(path), hashlib.sha256(buffer.getvalue()).hexdigest().encode())
