"""The image files of a project's cases, which nobody must have changed."""

from __future__ import annotations

from pathlib import Path

from sslseg.core.errors import SslsegError
from sslseg.core.volume import CaseRecord, Volume
from sslseg.storage.images import fingerprint, read_volume
from sslseg.storage.store import ProjectStore


def read_unchanged(store: ProjectStore, record: CaseRecord) -> Volume:
    """Read a case's image.

    Raises
    ------
    SslsegError
        Where its bytes differ from when it was added, it is gone, or it cannot be read.
    """
    path = store.source_path(record.name)
    refuse_changed(path, record)
    return read_volume(path)


def read_on_grid(path: Path, record: CaseRecord) -> Volume:
    """Read the image at `path`, without looking whether all of its bytes are those of the case.

    Raises
    ------
    SslsegError
        Where its grid is another one, it is gone, or it cannot be read.
    """
    volume = read_volume(path)
    same = volume.reorientation == record.reorientation
    if not (same and volume.geometry.same_grid(record.geometry)):
        raise _changed(path, record)
    return volume


def refuse_changed(path: Path, record: CaseRecord) -> None:
    """Raise SslsegError where an image's bytes differ from when it was added."""
    if fingerprint(path) != record.sha256:
        raise _changed(path, record)


def _changed(path: Path, record: CaseRecord) -> SslsegError:
    return SslsegError(
        f"an image of case {record.name} that changed since it was added ({path})",
        "the same bytes, since annotations lie on its voxels",
        "Put the original file back, or add the new one under another name.",
    )
