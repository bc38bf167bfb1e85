"""Slices that only validation sees: thousands with dense labels, of which it looks at a few."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from sslseg.core.annotation import IGNORE, SliceRecord
from sslseg.core.geometry import Plane
from sslseg.data.preprocessing import resample_target
from sslseg.data.sampling import TrainingCase
from sslseg.data.targets import Target, grid_index
from sslseg.storage.store import ProjectStore


@dataclass(frozen=True, eq=False)
class HeldOutSlice:
    """A slice of the training grid that only validation sees.

    Parameters
    ----------
    case : TrainingCase
        Its image; no target.
    plane, index : Plane, int
        Where the slice lies on the training grid.
    make : callable
        Returns `truth`; called when that is first asked for.
    partial : bool
        Whether nothing is known of what was left unpainted.
    """

    case: TrainingCase
    plane: Plane
    index: int
    make: Callable[[], Target]
    partial: bool = False

    @cached_property
    def truth(self) -> Target:
        """What it says: ``(H, W)`` int16 with IGNORE."""
        return self.make()

    @property
    def name(self) -> str:
        """What no other slice of the project is called."""
        return f"{self.case.name}/{self.plane}/{self.index}"

    @property
    def size(self) -> int:
        """Its pixels, counted without looking at it."""
        return int(self.case.image.size // self.case.image.shape[self.plane.axis])


def painted(
    store: ProjectStore, record: SliceRecord, records: Sequence[SliceRecord]
) -> npt.NDArray[np.uint8]:
    """Return the labels ``(H, W)`` of a slice as `ProjectStore.annotation` has them, read alone.

    Parameters
    ----------
    store : ProjectStore
        Read only.
    record : SliceRecord
        Of the slice.
    records : sequence of SliceRecord
        Of all slices of its case: those of other planes that were saved later lie over it.
    """
    plane, index = record.key.plane, record.key.index
    labels = store.labels_at(record.revision).copy()
    for other in sorted(records, key=lambda each: each.revision):
        if other.revision > record.revision and other.key.plane is not plane:
            over = _line(store.labels_at(other.revision), other.key.plane, plane, index)
            _line(labels, plane, other.key.plane, other.key.index)[...] = over
    return labels


def _line(
    labels: npt.NDArray[np.uint8], plane: Plane, across: Plane, index: int
) -> npt.NDArray[np.uint8]:
    """Return the view of a slice of `plane` along which slice `index` of `across` crosses it."""
    axis = across.axis - (across.axis > plane.axis)
    return np.moveaxis(labels, axis, 0)[index, ...]


def on_grid(
    target: Target, axis: int, index: int, old: Sequence[int], new: Sequence[int]
) -> Target:
    """Return a slice as `resample_target` leaves it in a volume where no other says anything.

    Parameters
    ----------
    target : ndarray of int16
        ``(H, W)`` of slice `index` across `axis`.
    axis, index : int
        Which slice of the volume.
    old, new : sequence of int
        ``(X, Y, Z)`` of the volume and of the training grid.
    """
    sides = [side for each, side in enumerate(new) if each != axis]
    place = grid_index(index, old[axis], new[axis])
    if grid_index(place, new[axis], old[axis]) == index:
        return resample_target(target, sides)
    # another slice is nearer to the new one, and silent: of two that become one that is the second
    silent = np.full_like(target, IGNORE)
    return resample_target(np.stack([target, silent]), [1, *sides])[0, ...]
