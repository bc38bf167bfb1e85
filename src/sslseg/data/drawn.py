"""Which classes the annotated slices show."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sslseg.core.annotation import SliceRecord
from sslseg.core.errors import SslsegError
from sslseg.storage.store import ProjectStore


def undrawn_classes(store: ProjectStore, records: Sequence[SliceRecord]) -> tuple[str, ...]:
    """Return the names of the classes without any painted voxel; none before the first slice.

    Parameters
    ----------
    store : ProjectStore
        Slices are read, the newest first, until all classes were seen; damaged ones show nothing.
    records : sequence of SliceRecord
        As `store.slices` gives them.
    """
    missing = {label.value: label.name for label in store.classes} if records else {}
    for record in reversed(records):
        if not missing:
            break
        for value in _values(store, record):
            missing.pop(value, None)
    return tuple(missing.values())


def _values(store: ProjectStore, record: SliceRecord) -> set[int]:
    try:
        return set(np.unique(store.labels_at(record.revision)).tolist())
    except SslsegError:
        return set()
