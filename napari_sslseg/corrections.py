"""How wrong the model was on each slice before it was labelled: a progress curve for free.

A slice counts with the prediction that was on the screen at its very first stroke, which no label
of it had taught, and with the labels that it has now. Predictions of whole cases count, not the
slices that are shown while a training has no time for these.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from psygnal import Signal

from napari_sslseg.background import Background
from napari_sslseg.summaries import pooled_dice
from sslseg.core.annotation import SliceKey, SliceRecord, SliceState, slice_target
from sslseg.core.geometry import Plane, take_slice
from sslseg.core.prediction import Prediction
from sslseg.storage.seen import keep_seen, seen
from sslseg.storage.store import ProjectStore


@dataclass(frozen=True)
class Correction:
    """One labelled slice and the prediction before.

    Parameters
    ----------
    key : SliceKey
        Which slice.
    time : float
        When its first stroke was saved, in seconds since 1970.
    complete : bool
        Whether the whole slice was labelled; else only painted voxels count.
    dice : float
        Mean over the classes that either shows.
    """

    key: SliceKey
    time: float
    complete: bool
    dice: float


Found = dict[SliceKey, Correction | None]


class Corrections:
    """All corrections of the open project; emits `changed`.

    Files are read and written by the background thread alone.
    """

    changed = Signal()

    def __init__(self, background: Background) -> None:
        self._background = background
        self._known: dict[SliceKey, Correction] = {}

    @property
    def points(self) -> tuple[Correction, ...]:
        """All corrections in the order of their first strokes."""
        return tuple(sorted(self._known.values(), key=lambda one: one.time))

    def begin(self, store: ProjectStore | None) -> None:
        """Look at a project anew, one case after the other; None: there is none."""
        self._known = {}
        self.changed.emit()
        if store is None:
            return
        by_case: dict[str, list[SliceRecord]] = {}
        for record in store.slices():
            by_case.setdefault(record.key.case, []).append(record)
        for records in by_case.values():
            self._read(store, records)

    def saved(
        self,
        store: ProjectStore,
        case: str,
        plane: Plane,
        slices: Iterable[int],
        prediction: Prediction | None,
    ) -> None:
        """Follow strokes that were saved while `prediction` was on the screen."""
        keys = {SliceKey(case=case, plane=plane, index=index) for index in slices}

        def work() -> Found:
            if prediction is not None:
                _keep(store, keys, prediction)
            return _found(store, [one for one in store.slices(case) if one.key in keys])

        self._background.submit(work, self._note)

    def _read(self, store: ProjectStore, records: list[SliceRecord]) -> None:
        self._background.submit(lambda: _found(store, records), self._note)

    def _note(self, found: Found) -> None:
        before = dict(self._known)
        for key, correction in found.items():
            self._known.pop(key, None)
            if correction is not None:
                self._known[key] = correction
        if self._known != before:
            self.changed.emit()


def _keep(store: ProjectStore, keys: set[SliceKey], prediction: Prediction) -> None:
    """Keep the prediction of slices whose first stroke was made on it."""
    version = prediction.info.version
    for key in keys:
        if store.history(key)[0].model == version:
            labels = take_slice(prediction.labels, key.plane, key.index)
            keep_seen(store.path, key, version, labels)


def _found(store: ProjectStore, records: list[SliceRecord]) -> Found:
    return {record.key: _correction(store, record) for record in records}


def _correction(store: ProjectStore, record: SliceRecord) -> Correction | None:
    """Compare the newest labels of a slice with the prediction before its first stroke."""
    key, first = record.key, store.history(record.key)[0]
    said = seen(store.path, key, first.model) if first.model else None
    if said is None or record.state is SliceState.NONE:
        return None
    truth = slice_target(store.labels_at(record.revision), record.state)
    if said.shape != truth.shape:
        return None
    dice = pooled_dice([(truth, np.asarray(said))])
    complete = record.state is SliceState.COMPLETE
    if dice is None and complete:
        dice = 1.0  # rightly empty; else empty slices could only ever lower the curve
    return None if dice is None else Correction(key, first.time, complete, dice)
