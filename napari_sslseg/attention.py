"""A frame around the region of the slice that a suggestion is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.layers import Shapes

from napari_sslseg.thumbnails import FRAME
from sslseg.core.geometry import Geometry, Plane
from sslseg.core.suggestion import Box

if TYPE_CHECKING:
    import napari.viewer

NAME = "attention"
COLOR = "#{:02x}{:02x}{:02x}".format(*FRAME)

EDGE = 0.006
"""Width of the line, as a share of the shorter side of the slice."""


class Attention:
    """The frame as a layer that is there only as long as it is of use, and never active."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        self._viewer = viewer
        self._layer: Shapes | None = None
        self._place: tuple[Plane, int] | None = None

    def show(self, geometry: Geometry, plane: Plane, index: int, box: Box) -> None:
        """Frame a box of one slice, in place of the frame before."""
        self.hide()
        layers = self._viewer.layers
        active = layers.selection.active
        self._place = (plane, index)
        self._layer = Shapes(
            [corners(plane, index, box)],
            shape_type="polygon",
            name=NAME,
            edge_color=COLOR,
            face_color="transparent",
            opacity=1.0,
            edge_width=max(EDGE * min(geometry.slice_shape(plane)), 0.1),
            scale=geometry.spacing,
            units=("mm", "mm", "mm"),
        )
        self._layer.editable = False
        layers.append(self._layer)
        layers.selection.active = active

    def hide(self) -> None:
        """Take the frame away; no-op without one."""
        layer, self._layer, self._place = self._layer, None, None
        if layer is not None and layer in self._viewer.layers:
            self._viewer.layers.remove(layer)

    def keep_on(self, plane: Plane, index: int) -> None:
        """Take the frame away unless this is its slice."""
        if self._place != (plane, index):
            self.hide()

    def stroke(self, layer: Any, _event: Any) -> None:
        """Take the frame away when the mouse is pressed to paint; a callback of napari's."""
        if layer.mode != "pan_zoom":
            self.hide()


def corners(plane: Plane, index: int, box: Box) -> npt.NDArray[np.float64]:
    """Return the corners of a box, ``(4, 3)`` voxel coordinates, around whole voxels."""
    top, bottom, left, right = (end - 0.5 for end in box)
    flat = np.array([(top, left), (top, right), (bottom, right), (bottom, left)])
    return np.insert(flat, plane.axis, index, axis=1)
