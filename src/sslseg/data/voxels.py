"""Annotated voxels by number, without a list of them: on a CT that would fill the memory."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from sslseg.core.annotation import IGNORE
from sslseg.data.blocks import Blocks


@dataclass(frozen=True, eq=False)
class Voxels:
    """The annotated voxels of a volume, numbered in the order of the array.

    How many each sagittal slice holds is counted once; a voxel is then looked for in its slice.

    Parameters
    ----------
    target : Blocks or None
        None where nothing is annotated.
    """

    target: Blocks | None

    def __len__(self) -> int:
        """Return how many there are."""
        return self._known

    @property
    def classes(self) -> tuple[int, ...]:
        """The classes that occur in rising order, background included."""
        return tuple(value for value in self._upto if value is not None)

    def count(self, value: int | None = None) -> int:
        """Return how many are of one class; of any without one."""
        return int(self._upto[value][-1])

    def at(self, row: int, value: int | None = None) -> npt.NDArray[np.intp]:
        """Return ``(x, y, z)`` of number `row` among those of one class; of any without one."""
        assert self.target is not None
        _, height, width = self.target.shape
        upto = self._upto[value]
        x = int(np.searchsorted(upto, row, side="right"))
        plane = self.target.box((x, 0, 0), (1, height, width))[0]
        there = np.flatnonzero(plane != IGNORE if value is None else plane == value)
        place = int(there[row - (upto[x - 1] if x else 0)])
        return np.array([x, *divmod(place, width)], np.intp)

    @cached_property
    def _known(self) -> int:
        return 0 if self.target is None else self.target.known()

    @cached_property
    def _upto(self) -> dict[int | None, npt.NDArray[np.intp]]:
        """For each class, and for all: how many lie in sagittal slices up to each one, ``(X,)``."""
        if self.target is None:
            return {}
        counts = self.target.counts()
        values = np.flatnonzero(counts.any(0)).tolist()
        found: dict[int | None, npt.NDArray[np.intp]] = {None: counts.sum(1).cumsum()}
        return found | {value: counts[:, value].cumsum() for value in values}
