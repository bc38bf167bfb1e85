"""Camera, caption and scale bar; napari 0.9 moved them, 0.8 has them on the viewer itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import napari.viewer


def radiological(viewer: napari.viewer.Viewer) -> None:
    """Let the second axis grow upwards and the third to the left."""
    scene: Any = getattr(viewer, "scene", viewer)
    scene.camera.orientation2d = ("up", "left")


def show_aids(viewer: napari.viewer.Viewer) -> None:
    """Show the caption, top left, and the scale bar."""
    caption = _overlay(viewer, "text", "text_overlay")
    caption.position = "top_left"
    caption.visible = True
    _overlay(viewer, "scale_bar", "scale_bar").visible = True


def set_caption(viewer: napari.viewer.Viewer, words: str) -> None:
    """Write the caption."""
    _overlay(viewer, "text", "text_overlay").text = words


def _overlay(viewer: napari.viewer.Viewer, name: str, before: str) -> Any:
    canvas = getattr(viewer, "canvas", None)
    return getattr(viewer, before) if canvas is None else getattr(canvas.overlays, name)
