"""The case on the screen: its layers, its slices, its way to the disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from psygnal import Signal

from napari_sslseg.attention import Attention
from napari_sslseg.labels_adapter import LabelsAdapter, Slices
from napari_sslseg.layers import CaseLayers
from napari_sslseg.slice_view import SliceView
from sslseg.core.annotation import UNPAINTED, Annotation, SliceState
from sslseg.core.control import Place
from sslseg.core.geometry import Plane, take_slice
from sslseg.core.prediction import Glimpse, Prediction
from sslseg.core.suggestion import Suggestion
from sslseg.core.volume import CaseRecord, ClassLabel, Volume
from sslseg.suggest.propagation import extend, nearest

if TYPE_CHECKING:
    import napari.viewer

Labels = npt.NDArray[np.uint8]

PREVIEW = "preview"
"""Said of a slice that was predicted alone, while there was no time for all of the case."""


class CaseView:
    """What the viewer shows of one case.

    Emits `moved` when plane, slice or slice state change, `glimpsed` when some slices are predicted
    anew, and `failed` when strokes could not be written; they stay in the layer until they are.
    """

    moved = Signal()
    glimpsed = Signal(Glimpse)
    failed = Signal(Exception)

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        self.layers = CaseLayers(viewer)
        self.slices = SliceView(viewer)
        self.attention = Attention(viewer)
        self.slices.changed.connect(self._follow_slice)
        self.case: CaseRecord | None = None
        self.prediction: Prediction | None = None
        self._previewed: set[Place] = set()
        self._suggested: Suggestion | None = None
        self._adapter: LabelsAdapter | None = None
        self._states: Mapping[tuple[Plane, int], SliceState] = {}

    def show(
        self,
        case: CaseRecord,
        volume: Volume,
        annotation: Annotation,
        classes: tuple[ClassLabel, ...],
        save: Callable[[Plane, Slices], object] | None,
    ) -> None:
        """Show a case instead of the one before; with `save` None it cannot be painted on."""
        self.clear()
        self.case = case
        self._states = annotation.states
        self.layers.show(volume, annotation.labels.copy(), classes, editable=save is not None)
        self.slices.fit(volume.geometry)
        if save is not None:
            layer = self.layers.annotation
            self._adapter = LabelsAdapter(layer, annotation, self.slices, save)
            self._adapter.failed.connect(self._follow_failure)
            self._adapter.written.connect(self._follow_state)
            layer.mouse_drag_callbacks.append(self.attention.stroke)
        self._caption()
        self.moved.emit()

    def clear(self) -> None:
        """Write what is not written and take the case out of the viewer."""
        self.release()
        self.attention.hide()
        self.layers.remove()
        self.slices.clear_caption()

    def release(self) -> None:
        """Write what is not written and let go of the case, whose layers stay."""
        if self._adapter is not None:
            self._adapter.close()
            self._adapter = None
        self.case = self.prediction = self._suggested = None
        self._previewed.clear()
        self._states = {}
        self.slices.leave()

    def flush(self) -> bool:
        """Write what is not written; tell whether all is on disk."""
        return self._adapter is None or self._adapter.flush()

    @property
    def failing(self) -> bool:
        """Whether the last attempt to write strokes failed."""
        return self._adapter is not None and self._adapter.failing

    @property
    def drawing(self) -> bool:
        """Whether the user is drawing on the case at this moment."""
        return self._adapter is not None and self._adapter.drawing

    @property
    def state(self) -> SliceState:
        """State of the slice on the screen, as far as it is on disk."""
        return self.state_of(self.slices.plane, self.slices.index)

    def state_of(self, plane: Plane, index: int) -> SliceState:
        """Return the state of any slice of the case, as far as it is on disk."""
        if self._adapter is None:
            return self._states.get((plane, index), SliceState.NONE)
        return self._adapter.state(plane, index)

    def toggle_complete(self) -> SliceState:
        """Mark the slice on the screen complete, or take it back; return its new state."""
        if self._adapter is not None:
            complete = self.state is not SliceState.COMPLETE
            self._adapter.set_complete(self.slices.plane, self.slices.index, complete)
        return self.state

    def accept(self) -> int:
        """Copy the prediction of this slice to where nothing is painted, as one undo step.

        Returns
        -------
        int
            How many voxels were filled.
        """
        if not self.can_accept:
            return 0
        plane, index = self.slices.plane, self.slices.index
        return self.fill(plane, index, take_slice(self.layers.predicted, plane, index))

    @property
    def can_accept(self) -> bool:
        """Whether a model has said anything of the slice on the screen."""
        return self.prediction is not None or self._on_preview

    def seen(self, plane: Plane, slices: Iterable[int]) -> Prediction | None:
        """Return the prediction of the whole case if it is what these slices show, else None."""
        across = any(other is not plane for other, _ in self._previewed)
        newer = across or any((plane, index) in self._previewed for index in slices)
        return None if newer else self.prediction

    @property
    def _on_preview(self) -> bool:
        return (self.slices.plane, self.slices.index) in self._previewed

    def extension(self) -> Callable[[], Labels] | None:
        """Return work for the background: this slice's labels as its annotated neighbours say.

        None where no parallel slice within `propagation.REACH` is annotated.
        """
        plane, index = self.slices.plane, self.slices.index
        known = self._adapter.known(plane) if self._adapter is not None else {}
        known.pop(index, None)
        sides = nearest(known, index)
        if not sides:
            return None
        stack = np.moveaxis(self.layers.image, plane.axis, 0)
        unsure = {side for side in sides if self.state_of(plane, side) is SliceState.PARTIAL}
        return partial(extend, stack, {side: known[side] for side in sides}, index, unsure)

    def fill(self, plane: Plane, index: int, said: Labels) -> int:
        """Write labels ``(H, W)`` to where a slice is unpainted, as one undo step.

        Returns
        -------
        int
            How many voxels were filled.
        """
        layer = self.layers.annotation
        free = take_slice(np.asarray(layer.data), plane, index) == UNPAINTED
        first, second = np.nonzero((said != 0) & free)
        if len(first) and self._adapter is not None:
            coordinates = list(np.broadcast_arrays(first, second))
            coordinates.insert(plane.axis, np.full_like(first, index))
            layer.data_setitem(tuple(coordinates), said[first, second])
            self._adapter.flush()
        return len(first)

    def show_prediction(self, prediction: Prediction) -> None:
        """Show what the model now says of this case."""
        self.prediction = prediction
        self._previewed.clear()
        self.layers.show_prediction(prediction)
        self._caption()

    def show_slices(self, glimpse: Glimpse) -> None:
        """Show what a model in training says of some slices of this case."""
        self._previewed |= glimpse.places
        self.layers.show_slices(glimpse)
        self._caption()
        self.glimpsed.emit(glimpse)

    def point_at(self, suggestion: Suggestion) -> None:
        """Write onto a suggested slice why it was suggested, and frame what that is about."""
        self._suggested = suggestion
        self._caption()
        if suggestion.box is None or self.case is None:
            self.attention.hide()
        else:
            place = (suggestion.plane, suggestion.slice)
            self.attention.show(self.case.geometry, *place, suggestion.box)

    def close(self) -> None:
        """Release the case and stop listening to the viewer."""
        self.release()
        self.layers.forget()
        self.slices.close()

    def _caption(self) -> None:
        """Say which slice it is, whether it was predicted alone, and why it was suggested."""
        self.slices.write_caption(PREVIEW if self._on_preview else "", self._reason())

    def _reason(self) -> str:
        """Return why the slice on the screen was suggested; "" where it is another one."""
        given, case = self._suggested, self.case
        here = (self.slices.plane, self.slices.index)
        if given is None or case is None or given.case != case.name:
            return ""
        return given.reason if (given.plane, given.slice) == here else ""

    def _follow_slice(self) -> None:
        self._caption()
        self.attention.keep_on(self.slices.plane, self.slices.index)
        self.moved.emit()

    def _follow_state(self) -> None:
        self.moved.emit()

    def _follow_failure(self, error: Exception) -> None:
        self.failed.emit(error)
