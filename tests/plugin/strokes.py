"""Hands on mouse and keys: drags go through the layer's own callbacks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from napari.utils.interactions import (
    mouse_move_callbacks,
    mouse_press_callbacks,
    mouse_release_callbacks,
)
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QPushButton, QWidget


@dataclass
class Mouse:
    """What napari's callbacks read of a mouse event."""

    type: str
    position: Sequence[float]
    view_direction: Any
    dims_displayed: Sequence[int]
    is_dragging: bool = False
    pos: Sequence[int] = (0, 0)
    button: int = 1
    handled: bool = False
    modifiers: tuple[str, ...] = ()
    camera_zoom: float = 1.0
    dims_point: Sequence[float] = field(default_factory=tuple)


def drag(viewer: Any, layer: Any, voxels: Sequence[Sequence[int]]) -> None:
    """Press at the first voxel, move through the others, release at the last."""
    displayed = list(viewer.dims.displayed)
    points = [tuple(np.asarray(voxel) * layer.scale) for voxel in voxels]

    # The callbacks keep the event of the press and look at it again on every move.
    mouse = Mouse("mouse_press", points[0], None, displayed)
    mouse_press_callbacks(layer, mouse)
    mouse.type, mouse.is_dragging = "mouse_move", True
    for point in points[1:]:
        mouse.position = point
        mouse_move_callbacks(layer, mouse)
    mouse.type, mouse.is_dragging = "mouse_release", False
    mouse_release_callbacks(layer, mouse)


def press(qtbot: Any, dock: QWidget, name: str) -> None:
    """Click a button of the dock that must be enabled."""
    button = dock.findChild(QPushButton, name)
    assert button.isEnabled(), name
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def type_key(qtbot: Any, viewer: Any, key: Qt.Key) -> None:
    """Type a key into the canvas."""
    canvas = viewer.window._qt_viewer.canvas.native
    canvas.setFocus()
    qtbot.keyClick(canvas, key)
