"""Two-stream sampling: items around annotated voxels, and items from anywhere.

Every batch follows from (seed, step) alone, so no sampler state exists to lose: a resumed run
draws what the uninterrupted one would have drawn.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch

from sslseg.core.annotation import IGNORE
from sslseg.core.geometry import Array
from sslseg.data.batch import Batch, Place
from sslseg.data.blocks import Blocks
from sslseg.data.slabs import crop, slab
from sslseg.data.targets import Target
from sslseg.data.voxels import Voxels

CLASS_CENTRED = 0.5
"""Share of labelled items around a voxel of a random structure instead of any annotated voxel."""

OWN_PLANE, TRIES = 0.5, 20
"""Where slices of several planes are annotated: share of a slice network's labelled items that lie
on an annotated slice of its own plane, not on the line that another plane's makes in it; and how
often a voxel is drawn at most for that."""

NEAR, JITTER = 0.5, 0.1
"""Share of the unlabelled items whose patch lies where, in their own volume, annotated structures
lie, and by how much of a side it is moved at most: of a large volume that holds a small organ,
patches from anywhere would hardly ever show it. Which slice a patch of a slice is of stays free:
what lies past the annotated ones is learnt from the unlabelled items alone."""

TOLD = 0.5
"""Share of the items of cases that a critic compares with others which lie around annotations."""


@dataclass(frozen=True)
class PatchPlan:
    """The shape of the items.

    Parameters
    ----------
    axis : int or None
        In 2.5-D the RAS axis across which slices are cut; None in 3-D.
    context : int
        Neighbouring slices as channels; 1 in 3-D.
    patch : tuple of int
        ``(H, W)`` or ``(X, Y, Z)``.
    labelled, unlabelled : int
        Items of each stream in a batch.
    """

    axis: int | None
    context: int
    patch: tuple[int, ...]
    labelled: int
    unlabelled: int


@dataclass(frozen=True)
class TrainingCase:
    """One case on the training grid.

    Parameters
    ----------
    name : str
        The case.
    image : ndarray of float16
        ``(X, Y, Z)``.
    target : Blocks or None
        ``(X, Y, Z)`` with IGNORE; None where nothing is annotated.
    slices : mapping of int to set of int
        Axis to the annotated slices across it, on the training grid.
    """

    name: str
    image: npt.NDArray[np.float16]
    target: Blocks | None
    slices: Mapping[int, frozenset[int]] = field(default_factory=dict)

    @cached_property
    def annotated(self) -> Voxels:
        """All annotated voxels."""
        return Voxels(self.target)

    @property
    def fewest_slices(self) -> int:
        """How many slices hold annotated voxels, along the axis where they are fewest."""
        if self.target is None:
            return 0
        return min(self.target.slices(axis) for axis in range(3))


@dataclass(frozen=True)
class Annotated:
    """Annotated cases, from which voxels are drawn class by class.

    The class is drawn before the case: else one that a single case shows would hardly be seen.
    """

    cases: tuple[TrainingCase, ...]

    @cached_property
    def classes(self) -> tuple[int, ...]:
        """The classes that occur, background included."""
        return tuple(sorted({value for case in self.cases for value in case.annotated.classes}))

    @cached_property
    def structures(self) -> tuple[int, ...]:
        """The classes that occur besides background."""
        return tuple(value for value in self.classes if value > 0)

    @cached_property
    def _showing(self) -> dict[int, list[TrainingCase]]:
        return {
            value: [case for case in self.cases if value in case.annotated.classes]
            for value in self.classes
        }

    def draw(
        self, rng: np.random.Generator, value: int | None
    ) -> tuple[TrainingCase, npt.NDArray[np.intp]]:
        """Draw a case and in it an annotated voxel ``(x, y, z)``, of one class where given."""
        cases = self.cases if value is None else self._showing[value]
        case = cases[int(rng.integers(len(cases)))]
        known = case.annotated
        return case, known.at(int(rng.integers(known.count(value))), value)


Item = tuple[npt.NDArray[np.float32], npt.NDArray[np.int16], Place]
"""Image ``(Cin, *patch)``, target ``(*patch)`` and where they were cut."""


class Sampler:
    """Draws batches.

    Parameters
    ----------
    cases : sequence of TrainingCase
        All volumes, annotated or not.
    plan : PatchPlan
        Shape and number of the items.
    seed : int
        Together with the step, the source of every draw.
    slices : int or None
        How many slices are annotated; counted along the axis with the fewest where not given.
    home : collection of str or None
        Cases that are as those of the labelled items: annotated, or of the source domain. Where
        given, and where there are others, half of the unlabelled items come from these and the
        rest from the others, for a critic to compare; labelled items come from these alone, and
        half of the others' around what is annotated there, if anything is.

    Raises
    ------
    ValueError
        When labelled items are asked for and no case has an annotated voxel.
    """

    def __init__(
        self,
        cases: Sequence[TrainingCase],
        plan: PatchPlan,
        seed: int,
        slices: int | None = None,
        home: Collection[str] | None = None,
    ) -> None:
        self.cases = tuple(cases)
        self.plan = plan
        self.seed = seed
        self.annotated = [case for case in self.cases if len(case.annotated)]
        if plan.labelled and not self.annotated:
            raise ValueError("no annotated voxel in any case")
        self._home = [case for case in self.cases if case.name in (home or ())]
        self._others = [case for case in self.cases if case.name not in (home or ())]
        if not self._home or not self._others:
            self._home, self._others = [], list(self.cases)
        taught = [case for case in self._home if len(case.annotated)] or self.annotated
        self._taught = Annotated(tuple(taught))
        told = [case for case in self._others if self._home and len(case.annotated)]
        self._told = Annotated(tuple(told))
        self._axis = 0 if plan.axis is None else plan.axis
        self._crossed = plan.axis is not None and _planes(self.annotated) > {plan.axis}
        self.slices = slices or sum(case.fewest_slices for case in self.annotated)

    def batch(self, step: int, *, alone: bool = False) -> Batch:
        """Return the batch of one step, on the CPU; with `alone` its labelled items only."""
        rng = np.random.default_rng((self.seed, step))
        others = 0 if alone else self.plan.unlabelled
        home = others // 2 if self._home else 0
        items = [self._labelled(rng) for _ in range(self.plan.labelled)]
        items += [self._anywhere(rng, self._home) for _ in range(home)]
        items += [self._other(rng) for _ in range(others - home)]
        images, targets, places = zip(*items, strict=True)
        x = torch.from_numpy(np.stack(images))
        y = torch.from_numpy(np.stack(targets).astype(np.int64))
        return Batch(x, y, self.plan.labelled, places, home=home)

    def _labelled(self, rng: np.random.Generator) -> Item:
        return self._around(rng, self._taught)

    def _other(self, rng: np.random.Generator) -> Item:
        """Draw an item for the rest of the batch."""
        if self._told.cases and rng.random() < TOLD:
            return self._around(rng, self._told)
        return self._anywhere(rng, self._others)

    def _around(self, rng: np.random.Generator, known: Annotated) -> Item:
        """Draw an item of one of these annotated cases; it holds an annotated voxel."""
        value: int | None = None
        if rng.random() < CLASS_CENTRED:
            values = known.structures or known.classes  # background fills most of the rest anyway
            value = values[rng.integers(len(values))]
        case, voxel = known.draw(rng, value)
        own = self._crossed and rng.random() < OWN_PLANE
        for _ in range(TRIES if own else 0):
            if int(voxel[self._axis]) in case.slices.get(self._axis, ()):
                break
            case, voxel = known.draw(rng, value)
        return self._item(rng, case, voxel)

    def _anywhere(self, rng: np.random.Generator, cases: Sequence[TrainingCase]) -> Item:
        case = cases[int(rng.integers(len(cases)))]
        sides = np.array(case.image.shape)
        centre = rng.integers(sides)
        structures = self._taught.structures
        if structures and rng.random() < NEAR:
            other, voxel = self._taught.draw(rng, structures[rng.integers(len(structures))])
            place = (voxel + 0.5) / other.image.shape + rng.uniform(-JITTER, JITTER, 3)
            near = np.clip(place * sides, 0, sides - 1).astype(np.intp)
            centre = np.where(np.arange(3) == self.plan.axis, centre, near)
        return self._item(rng, case, centre)

    def _item(
        self, rng: np.random.Generator, case: TrainingCase, centre: npt.NDArray[np.intp]
    ) -> Item:
        """Cut the patch that holds voxel `centre` at a random place inside it."""
        axes = [axis for axis in range(3) if axis != self.plan.axis]
        sides = [case.image.shape[axis] for axis in axes]
        start = [
            _start(rng, int(centre[axis]), side, length)
            for axis, side, length in zip(axes, sides, self.plan.patch, strict=True)
        ]
        index = 0 if self.plan.axis is None else int(centre[self.plan.axis])
        shape = (case.image.shape[0], case.image.shape[1], case.image.shape[2])
        place = Place(case.name, self.plan.axis, index, tuple(start), shape)
        image = crop(self._image(case, index), start, self.plan.patch, "edge")
        return np.asarray(image, np.float32), self._target(case, index, start), place

    def _image(self, case: TrainingCase, index: int) -> Array:
        """Return the image ``(Cin, *sides)`` from which the patch is cut."""
        if self.plan.axis is None:
            return case.image[None]
        return slab(case.image, self.plan.axis, index, self.plan.context)

    def _target(self, case: TrainingCase, index: int, start: Sequence[int]) -> Target:
        """Return the target ``(*patch)`` of the patch that begins at `start`."""
        if case.target is None:
            return np.full(self.plan.patch, IGNORE, np.int16)
        if self.plan.axis is None:
            return case.target.box(start, self.plan.patch)
        corner, size = list(start), list(self.plan.patch)
        corner.insert(self.plan.axis, index)
        size.insert(self.plan.axis, 1)
        return case.target.box(corner, size).squeeze(self.plan.axis)


def _planes(cases: Sequence[TrainingCase]) -> set[int]:
    """Return the axes across which slices are annotated."""
    return {axis for case in cases for axis in case.slices}


def _start(rng: np.random.Generator, centre: int, side: int, length: int) -> int:
    """Return where a patch of `length` begins so that it holds `centre` and stays inside."""
    if side <= length:
        return -((length - side) // 2)
    low = max(0, centre - length + 1)
    high = min(centre, side - length)
    return int(rng.integers(low, high + 1))
