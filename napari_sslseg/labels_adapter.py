"""Turns whatever happens to the annotation layer into slice revisions on disk.

napari's events only say that something may have changed: undo and redo emit no `paint`, writes
into the array emit nothing, and the payload of `paint` is private. So this keeps a copy of what
is on disk and compares; events only decide how soon.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_sslseg.bridge import stop_timer
from sslseg.core.annotation import BACKGROUND, UNPAINTED, Annotation, SliceState
from sslseg.core.errors import SslsegError, UnknownLabels
from sslseg.core.geometry import Plane, take_slice

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_sslseg.slice_view import SliceView

Slices = Mapping[int, tuple[npt.NDArray[np.uint8], SliceState]]
Coordinates = npt.NDArray[np.intp]

PAINT_MS, CHANGE_MS, WATCH_MS = 20, 80, 1000
"""How long after a stroke, after any other change on the screen, and in any case."""

STROKE_S = 0.3
"""Seconds after a change on the screen in which a stroke is thought to go on."""

_CHUNK = 16


def changed_voxels(now: npt.NDArray[np.uint8], before: npt.NDArray[np.uint8]) -> Coordinates:
    """Return where two ``(X, Y, Z)`` arrays differ, as ``(N, 3)`` indices."""
    found = []
    for start in range(0, now.shape[0], _CHUNK):
        differs = now[start : start + _CHUNK] != before[start : start + _CHUNK]
        if differs.any():
            found.append(np.argwhere(differs) + np.array([start, 0, 0]))
    return np.concatenate(found) if found else np.zeros((0, 3), np.intp)


def touched_slices(voxels: Coordinates, shown: Plane) -> tuple[Plane, list[int]]:
    """Return the plane and slices that changed `voxels`, ``(N, 3)``, are filed under.

    The plane on the screen, unless the change fits into a single slice of another one: the undo
    of an axial stroke seen from the side is still one axial slice.
    """
    planes = [shown, *(plane for plane in Plane if plane is not shown)]
    slices = {plane: np.unique(voxels[:, plane.axis]).tolist() for plane in planes}
    plane = next((p for p in planes if len(slices[p]) == 1), shown)
    return plane, slices[plane]


class LabelsAdapter:
    """Keeps the store equal to the annotation layer of one case.

    Parameters
    ----------
    layer : Labels
        uint8 ``(X, Y, Z)``, equal to ``annotation.labels`` at this moment.
    annotation : Annotation
        What is on disk.
    view : SliceView
        Tells the plane on the screen.
    save : callable
        Writes ``{slice: (labels (H, W) uint8, state)}`` of one plane durably, or raises.

    Emits `written` when slices and their states are on disk, and `failed` when they could not be.
    """

    failed = Signal(Exception)
    written = Signal()

    def __init__(
        self,
        layer: Labels,
        annotation: Annotation,
        view: SliceView,
        save: Callable[[Plane, Slices], object],
    ) -> None:
        self._layer, self._view, self._save = layer, view, save
        self._shadow = np.array(annotation.labels, np.uint8)
        self._states = dict(annotation.states)
        self._past: dict[tuple[Plane, int, bytes], SliceState] = {}
        self.failing = False
        self._changed_at = -STROKE_S
        self._soon = QTimer()
        self._soon.setSingleShot(True)
        self._watch = QTimer()
        self._watch.setInterval(WATCH_MS)
        for timer in (self._soon, self._watch):
            timer.timeout.connect(self.flush)
        self._watch.start()
        layer.events.paint.connect(self._painted)
        layer.events.set_data.connect(self._refreshed)
        layer.events.labels_update.connect(self._stamped)

    @property
    def drawing(self) -> bool:
        """Whether the layer changes on the screen: a stroke, or leafing through slices."""
        return time.monotonic() - self._changed_at < STROKE_S

    def state(self, plane: Plane, index: int) -> SliceState:
        """Return the state of a slice."""
        return self._states.get((plane, index), SliceState.NONE)

    def known(self, plane: Plane) -> dict[int, npt.NDArray[np.uint8]]:
        """Return the classes ``(H, W)`` of the slices of a plane that say something of them.

        Those are the complete ones, and of the partial ones those with a class on them.
        """
        self.flush()
        found = {}
        for (other, index), state in self._states.items():
            if other is plane and state is not SliceState.NONE:
                labels = self._labels(plane, index)
                drawn = (labels != UNPAINTED) & (labels != BACKGROUND)
                if state is SliceState.COMPLETE or drawn.any():
                    found[index] = labels
        return found

    def set_complete(self, plane: Plane, index: int, complete: bool) -> None:
        """Say that every unpainted voxel of a slice is background, or take it back."""
        self.flush()
        labels = self._labels(plane, index)
        state = SliceState.COMPLETE if complete else _open_state(labels)
        self._write(plane, {index: (labels, state)})

    def flush(self) -> bool:
        """Write every change that is not on disk yet; tell whether all is on disk now."""
        voxels = changed_voxels(np.asarray(self._layer.data), self._shadow)
        if not len(voxels):
            self.failing = False
            return True
        plane, indices = touched_slices(voxels, self._view.plane)
        written = self._write(plane, {i: self._revision(plane, i) for i in indices})
        self.failing &= not written
        return written and self._empty_crossed(voxels)

    def close(self) -> None:
        """Flush and let go of the layer."""
        self.flush()
        stop_timer(self._soon)
        stop_timer(self._watch)
        self._layer.events.paint.disconnect(self._painted)
        self._layer.events.set_data.disconnect(self._refreshed)
        self._layer.events.labels_update.disconnect(self._stamped)

    def _empty_crossed(self, voxels: Coordinates) -> bool:
        """Take back "partial" from slices of any plane that a change across them emptied."""
        crossed = {plane: set(np.unique(voxels[:, plane.axis]).tolist()) for plane in Plane}
        emptied: dict[Plane, dict[int, tuple[npt.NDArray[np.uint8], SliceState]]] = {}
        for (plane, index), state in self._states.items():
            if state is SliceState.PARTIAL and index in crossed[plane]:
                labels = self._labels(plane, index)
                if not labels.any():
                    emptied.setdefault(plane, {})[index] = (labels, SliceState.NONE)
        return all(self._write(plane, slices) for plane, slices in emptied.items())

    def _labels(self, plane: Plane, index: int) -> npt.NDArray[np.uint8]:
        labels = take_slice(np.asarray(self._layer.data), plane, index).copy()
        # napari's menu converts layers to other kinds of whole numbers; what fits is what it was
        fits = labels.dtype.kind in "iu" and labels.min() >= 0 and labels.max() <= BACKGROUND
        return labels.astype(np.uint8) if fits else labels

    def _revision(self, plane: Plane, index: int) -> tuple[npt.NDArray[np.uint8], SliceState]:
        """Return a slice's labels and state: labels that were there before had their state.

        So an undo past "complete" takes it back, and the redo brings it.
        """
        labels = self._labels(plane, index)
        complete = self.state(plane, index) is SliceState.COMPLETE
        new = SliceState.COMPLETE if complete else _open_state(labels)
        return labels, self._past.get((plane, index, _digest(labels)), new)

    def _write(self, plane: Plane, slices: Slices) -> bool:
        try:
            self._save(plane, slices)
        except UnknownLabels as error:
            if len(slices) > 1:  # a wrong value on one slice must not hold back the others
                written = [self._write(plane, {i: one}) for i, one in slices.items()]
                return all(written)
            self._fail(error)
            return False
        except (SslsegError, OSError) as error:
            self._fail(error)
            return False
        for index, (labels, state) in slices.items():
            shadow = take_slice(self._shadow, plane, index)
            self._past.setdefault((plane, index, _digest(shadow)), self.state(plane, index))
            self._past[plane, index, _digest(labels)] = state
            shadow[:] = labels
            self._states[plane, index] = state
        self.written.emit()
        return True

    def _fail(self, error: Exception) -> None:
        """Say once what is wrong; the layer still holds the strokes, and the watch tries again."""
        if not self.failing:
            self.failing = True
            self.failed.emit(error)

    def _stamped(self, event: Any = None) -> None:
        self._changed_at = time.monotonic()

    def _painted(self, event: Any = None) -> None:
        self._stamped()
        # A little later, for two reasons: some edits tell before they write (`data_setitem` does),
        # and the disk is not waited for before the end of the stroke is drawn.
        self._hurry(PAINT_MS)

    def _refreshed(self, event: Any = None) -> None:
        self._stamped()
        self._hurry(CHANGE_MS)

    def _hurry(self, milliseconds: int) -> None:
        if not self._soon.isActive() or self._soon.remainingTime() > milliseconds:
            self._soon.start(milliseconds)


def _digest(labels: npt.NDArray[np.uint8]) -> bytes:
    return sha256(labels.tobytes()).digest()


def _open_state(labels: npt.NDArray[np.uint8]) -> SliceState:
    return SliceState.PARTIAL if labels.any() else SliceState.NONE
