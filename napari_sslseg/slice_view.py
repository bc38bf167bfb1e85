"""Which plane and slice the viewer shows."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from psygnal import Signal

from napari_sslseg import canvas
from sslseg.core.geometry import Geometry, Plane

if TYPE_CHECKING:
    import napari.viewer

ORDERS = {Plane.AXIAL: (2, 1, 0), Plane.CORONAL: (1, 2, 0), Plane.SAGITTAL: (0, 2, 1)}
"""Axes of a plane as napari wants them: the slider's, the vertical, the horizontal."""

HINTS = {
    Plane.AXIAL: "R on the left",
    Plane.CORONAL: "R on the left",
    Plane.SAGITTAL: "front on the left",
}
"""Short, to fit into the narrow canvas of napari's own window. R is the patient's right."""

LINE = 36
"""Characters that fit there side by side."""


class SliceView:
    """The plane and slice on the screen, as anatomy rather than as slider positions.

    Emits `changed` when either moves. Indices come from world positions, so layers of another
    spacing that the user adds do not shift them.
    """

    changed = Signal()

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        self._viewer = viewer
        self._geometry: Geometry | None = None
        self._plane = Plane.AXIAL
        viewer.dims.events.order.connect(self._moved)
        viewer.dims.events.point.connect(self._moved)

    @property
    def plane(self) -> Plane:
        """The plane shown."""
        dims = self._viewer.dims
        if self._geometry is not None and dims.ndim >= 3:
            self._plane = Plane.of_axis(max(0, dims.order[-3] - (dims.ndim - 3)))
        return self._plane

    @property
    def index(self) -> int:
        """The slice shown, counted along the plane's RAS axis."""
        if self._geometry is None:
            return 0
        axis = self.plane.axis
        point = float(self._viewer.dims.point[axis - 3])
        index = round(point / self._geometry.spacing[axis])
        return min(max(index, 0), self._geometry.shape[axis] - 1)

    def fit(self, geometry: Geometry) -> None:
        """Show a new case: its middle slice, radiological sides, whole in view."""
        plane, self._geometry = self._plane, geometry
        self._viewer.dims.axis_labels = ("sagittal", "coronal", "axial")
        canvas.radiological(self._viewer)
        canvas.show_aids(self._viewer)
        self.go_to(plane, geometry.slices(plane) // 2)
        self._viewer.reset_view()

    def go_to(self, plane: Plane, index: int) -> None:
        """Show slice `index` of `plane`."""
        if self._geometry is None:
            return
        self._viewer.dims.ndisplay = 2
        self._set_order(plane)
        offset = self._viewer.dims.ndim - 3
        self._viewer.dims.set_point(offset + plane.axis, index * self._geometry.spacing[plane.axis])

    def set_plane(self, plane: Plane) -> None:
        """Show the same place in another plane, fitted to the window."""
        if self._geometry is not None and plane is not self.plane:
            self._viewer.dims.ndisplay = 2
            self._set_order(plane)
            self._viewer.reset_view()

    def leave(self) -> None:
        """Forget the case, whose layers are about to go; the plane is kept for the next."""
        self._plane = self.plane
        self._geometry = None

    def close(self) -> None:
        """Stop listening to the viewer."""
        self._geometry = None
        self._viewer.dims.events.order.disconnect(self._moved)
        self._viewer.dims.events.point.disconnect(self._moved)

    def _set_order(self, plane: Plane) -> None:
        offset = self._viewer.dims.ndim - 3
        order = (*range(offset), *(offset + axis for axis in ORDERS[plane]))
        if tuple(self._viewer.dims.order) != order:
            self._viewer.dims.order = order

    def write_caption(self, note: str = "", reason: str = "") -> None:
        """Write onto the canvas which slice is shown, a note on it and, below, why it is shown."""
        if self._geometry is not None:
            last = self._geometry.slices(self.plane) - 1
            words = (f"{self.plane} {self.index} / {last}", HINTS[self.plane], note)
            lines = ("  ·  ".join(filter(None, words)), *textwrap.wrap(reason, LINE))
            canvas.set_caption(self._viewer, "\n".join(lines))

    def clear_caption(self) -> None:
        """Take the words off the canvas."""
        canvas.set_caption(self._viewer, "")

    def _moved(self) -> None:
        if self._geometry is not None:
            self.changed.emit()
