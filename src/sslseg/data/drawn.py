"""Which classes the annotated slices show, and whether any shows what is none of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sslseg.core.annotation import BACKGROUND, SliceRecord, SliceState
from sslseg.core.errors import SslsegError
from sslseg.storage.store import ProjectStore

NO_BACKGROUND = (
    "No labelled slice says what is background, so the model takes everything for structure: "
    "press Complete (C) on a slice that is done, or paint some background (0)."
)

ONLY_HELD_OUT = (
    "Only held-out slices show {names}, which the model cannot find before they teach: until then "
    "its Dice says nothing. Label it elsewhere too."
)


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


def shows_background(store: ProjectStore, records: Sequence[SliceRecord]) -> bool:
    """Tell whether any slice says where nothing is: a complete one, or painted background.

    Partial slices are read only where none is complete; damaged ones show nothing.
    """
    states = [record.state for record in records]
    return SliceState.COMPLETE in states or any(
        BACKGROUND in _values(store, record)
        for record, state in zip(records, states, strict=True)
        if state is SliceState.PARTIAL
    )


def lacking(store: ProjectStore, hold_out: bool) -> tuple[str, ...]:
    """Return in sentences what no annotated slice shows, so that no network can learn it.

    With `hold_out` also what only slices held out for validation show, which teach late or never.
    """
    records = store.slices()
    names = undrawn_classes(store, records)
    taught = [record for record in records if not (hold_out and record.validation)]
    late = [name for name in undrawn_classes(store, taught) if name not in names]
    said = []
    if names:
        said.append(
            f"No labelled slice shows {' or '.join(names)}: the model cannot find that yet."
        )
    if late:
        said.append(ONLY_HELD_OUT.format(names=" or ".join(late)))
    if not shows_background(store, records):
        said.append(NO_BACKGROUND)
    return tuple(said)


def _values(store: ProjectStore, record: SliceRecord) -> set[int]:
    try:
        return set(np.unique(store.labels_at(record.revision)).tolist())
    except SslsegError:
        return set()
