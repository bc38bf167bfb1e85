"""The image files of a project's cases, which nobody must have changed."""

from __future__ import annotations

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
    if fingerprint(path) != record.sha256:
        raise SslsegError(
            f"an image of case {record.name} that changed since it was added ({path})",
            "the same bytes, since annotations lie on its voxels",
            "Put the original file back, or add the new one under another name.",
        )
    return read_volume(path)
