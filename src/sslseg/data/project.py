"""The project's cases as training sees them, and word of new strokes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from sslseg.core.annotation import IGNORE, SliceRecord, SliceState, slice_target
from sslseg.core.errors import SslsegError
from sslseg.core.words import counted
from sslseg.data.blocks import Blocks
from sslseg.data.held_out import HeldOutSlice, on_grid, painted
from sslseg.data.preprocessing import Spacing, labelled, load_if_readable, resample_target
from sslseg.data.sampling import PatchPlan, Sampler, TrainingCase
from sslseg.data.targets import Target, grid_index, held_out, training_target, validation_target
from sslseg.storage.store import ProjectStore

MOST_LOOKED_AT = 200
"""Complete slices that tell whether the object is in one piece, of thousands of dense labels."""


T = TypeVar("T")


@dataclass(frozen=True)
class Kept(Generic[T]):
    """What was made for each case, until it would come out differently."""

    _made: dict[str, tuple[object, T]] = field(default_factory=dict)

    def get(self, case: str, follows_from: object, make: Callable[[], T]) -> T:
        """Return what is there for the case, made anew where `follows_from` differs from then."""
        if case not in self._made or self._made[case][0] != follows_from:
            self._made[case] = follows_from, make()
        return self._made[case][1]


class ProjectData:
    """Prepared images with the newest annotations.

    Parameters
    ----------
    store : ProjectStore
        Read only.
    spacing : Spacing
        The plan's training grid.
    classes : int
        Of the network, with background. A class that was added during the run is ignored until
        the next one.
    hold_out : bool
        Whether held-out slices are kept from training.
    target : collection of str or None
        Cases of the target domain, for a method that adapts.
    compared : bool
        Whether annotated cases are compared with the others.
    """

    def __init__(
        self,
        store: ProjectStore,
        spacing: Spacing,
        classes: int,
        *,
        hold_out: bool,
        target: Collection[str] | None = None,
        compared: bool = False,
    ) -> None:
        self._store = store
        self._classes = classes
        self._spacing = spacing
        self._hold_out = hold_out
        self._target = target
        self._compared = compared
        self.images: dict[str, npt.NDArray[np.float16]] = {}
        self.left_out: list[SslsegError] = []
        needed = labelled(store)
        for record in store.cases():
            found = load_if_readable(store, record, spacing, needed)
            if isinstance(found, SslsegError):
                self.left_out.append(found)
            else:
                self.images[record.name] = found.image
        if target is not None and not self.images.keys() & set(target):
            raise self.left_out[0]  # nothing is left to adapt to
        self.revision = -1
        self._cases: Kept[TrainingCase] = Kept()
        self._unseen: Kept[TrainingCase] = Kept()
        self._held: Kept[list[HeldOutSlice]] = Kept()

    def changed(self) -> bool:
        """Tell whether strokes were saved since the last `sampler`."""
        return self._store.revision() != self.revision

    def sampler(self, plan: PatchPlan, seed: int) -> Sampler:
        """Return a sampler over all cases with the annotations as they are now.

        Raises
        ------
        ValueError
            When nothing is annotated outside the held-out slices.
        """
        self.revision = self._store.revision()
        return self.annotated_sampler(plan, seed)

    def annotated_sampler(self, plan: PatchPlan, seed: int) -> Sampler:
        """Return what `sampler` would, leaving the answer of `changed` as it is."""
        records = self._records()
        cases = [self._case(name, records[name]) for name in self.images]
        taught = sum(
            record.state is not SliceState.NONE and not (self._hold_out and record.validation)
            for each in records.values()
            for record in each
        )
        return Sampler(cases, plan, seed, taught, self._home(cases))

    def _home(self, cases: Sequence[TrainingCase]) -> set[str] | None:
        """Return the cases that a critic compares with the others; None if none does."""
        if self._target is not None:
            return {case.name for case in cases if case.name not in self._target}
        if self._compared:
            return {case.name for case in cases if len(case.annotated)}
        return None

    def join_held_out(self) -> None:
        """Let training see the held-out slices from the next sampler on."""
        self._hold_out = False

    def held_out(self) -> list[HeldOutSlice]:
        """Return the slices that only validation sees; what they say is read when asked for."""
        if not self._hold_out:
            return []
        return [
            found
            for name, records in self._records().items()
            for found in self._held.get(
                name, _newest(records), partial(self._held_out_of, name, records)
            )
        ]

    def teaches(self, cases: Collection[str]) -> bool:
        """Tell whether annotated slices of any of these cases are not held out."""
        return any(
            record.key.case in cases and record.state is not SliceState.NONE
            for record in self._store.slices()
            if not record.validation
        )

    def validation_sampler(self, plan: PatchPlan, seed: int) -> Sampler | None:
        """Return a sampler over the held-out slices alone; None where none says anything."""
        cases = [
            self._validation(name, records)
            for name, records in self._records().items()
            if self._hold_out and held_out(records)
        ]
        telling = [case for case in cases if len(case.annotated)]
        return Sampler(telling, plan, seed) if telling else None

    def _case(self, name: str, records: list[SliceRecord]) -> TrainingCase:
        """Return a case to learn from: the same one until something on it changes."""
        hidden = self._hold_out and any(record.validation for record in records)
        return self._cases.get(
            name,
            (_newest(records), hidden),
            lambda: TrainingCase(
                name,
                self.images[name],
                self._training(name, records),
                self._taught_slices(name, records),
            ),
        )

    def _validation(self, name: str, records: list[SliceRecord]) -> TrainingCase:
        """Return a case with its held-out slices alone: the same one until something changes."""
        return self._unseen.get(name, _newest(records), partial(self._made_unseen, name, records))

    def _made_unseen(self, name: str, records: list[SliceRecord]) -> TrainingCase:
        truth = self._known(validation_target(self._store.annotation(name), records))
        image = self.images[name]
        return TrainingCase(name, image, Blocks.of(resample_target(truth, image.shape)))

    def _training(self, name: str, records: list[SliceRecord]) -> Blocks | None:
        if not any(record.state is not SliceState.NONE for record in records):
            return None
        shown = records if self._hold_out else []
        target = training_target(self._store.annotation(name), shown)
        return Blocks.of(resample_target(self._known(target), self.images[name].shape))

    def _taught_slices(self, name: str, records: list[SliceRecord]) -> dict[int, frozenset[int]]:
        """Return the annotated slices that are not held out by axis, on the training grid."""
        old, new = self._store.case(name).geometry.shape, self.images[name].shape
        found: dict[int, set[int]] = {}
        for record in records:
            hidden = self._hold_out and record.validation
            if record.state is not SliceState.NONE and not hidden:
                axis = record.key.plane.axis
                place = grid_index(record.key.index, old[axis], new[axis])
                found.setdefault(axis, set()).add(place)
        return {axis: frozenset(places) for axis, places in found.items()}

    def _known(self, target: Target) -> Target:
        target[target >= self._classes] = IGNORE
        return target

    def _held_out_of(self, name: str, records: list[SliceRecord]) -> list[HeldOutSlice]:
        old = self._store.case(name).geometry.shape
        prepared = TrainingCase(name, self.images[name], None)
        new = prepared.image.shape
        found = []
        for record in held_out(records):
            plane, index = record.key.plane, record.key.index
            own = partial(self._truth, record, records)
            complete = record.state is SliceState.COMPLETE
            if self._says_all(record) or np.any(own() != IGNORE):
                make = partial(_resampled, own, plane.axis, index, old, new)
                place = grid_index(index, old[plane.axis], new[plane.axis])
                found.append(HeldOutSlice(prepared, plane, place, make, partial=not complete))
        return found

    def _says_all(self, record: SliceRecord) -> bool:
        """Tell whether every voxel of a slice surely says something, without looking at it."""
        new_classes = len(self._store.classes) >= self._classes
        return record.state is SliceState.COMPLETE and not new_classes

    def _truth(self, record: SliceRecord, records: list[SliceRecord]) -> Target:
        """Return the target of a slice ``(H, W)`` on the case's own grid."""
        return self._known(slice_target(painted(self._store, record, records), record.state))

    def _records(self) -> dict[str, list[SliceRecord]]:
        """Return the records of the cases that were there when training began."""
        by_case: dict[str, list[SliceRecord]] = defaultdict(list)
        for record in self._store.slices():
            if record.key.case in self.images:
                by_case[record.key.case].append(record)
        return by_case


def left_out(errors: Sequence[SslsegError]) -> str:
    """Return in words that cases could not be learnt from; "" where all could."""
    if not errors:
        return ""
    return f"Left out: {counted(len(errors), 'case')}. {errors[0]}"


def _resampled(
    own: Callable[[], Target], axis: int, index: int, old: Sequence[int], new: Sequence[int]
) -> Target:
    """Return what `own` does on the training grid."""
    return on_grid(own(), axis, index, old, new)


def _newest(records: Sequence[SliceRecord]) -> int:
    """Return the newest revision of a case, 0 before the first."""
    return max((record.revision for record in records), default=0)
