"""From annotations to what training may see and what validation may ask."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sslseg.core.annotation import IGNORE, Annotation, SliceRecord, SliceState, slice_target
from sslseg.core.geometry import take_slice

Target = npt.NDArray[np.int16]


def training_target(annotation: Annotation, records: Sequence[SliceRecord]) -> Target:
    """Return the target ``(X, Y, Z)`` with every held-out slice hidden.

    Voxels of a held-out slice are hidden even where an annotated slice of another plane crosses
    it, so that no held-out truth leaks in.
    """
    target = annotation.target()
    for record in records:
        if record.validation:
            take_slice(target, record.key.plane, record.key.index)[...] = IGNORE
    return target


def validation_target(annotation: Annotation, records: Sequence[SliceRecord]) -> Target:
    """Return the target ``(X, Y, Z)`` of the held-out slices alone."""
    target = np.full(annotation.labels.shape, IGNORE, np.int16)
    for record in held_out(records):
        plane, index = record.key.plane, record.key.index
        take_slice(target, plane, index)[...] = slice_target(
            take_slice(annotation.labels, plane, index), record.state
        )
    return target


def held_out(records: Sequence[SliceRecord]) -> list[SliceRecord]:
    """Return the records of held-out slices that say something."""
    return [r for r in records if r.validation and r.state is not SliceState.NONE]


def grid_index(index: int, old: int, new: int) -> int:
    """Return where slice `index` of `old` slices lies among `new` slices of the training grid."""
    return min(int((index + 0.5) * new / old), new - 1)
