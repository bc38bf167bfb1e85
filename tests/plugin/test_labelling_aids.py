"""The frame around what a suggestion means, and labels carried from neighbouring slices."""

from __future__ import annotations

import numpy as np
import pytest
from fake_engine import BOX
from napari.layers import Shapes
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QPushButton
from strokes import drag

from napari_sslseg.thumbnails import FRAME
from napari_sslseg.widgets.annotate import IS_COMPLETE
from sslseg.core.geometry import Plane, take_slice

MIDDLE = 8
"""The axial slice that a case opens on."""


def press(qtbot, dock, name):
    button = dock.findChild(QPushButton, name)
    assert button.isEnabled(), name
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def type_key(qtbot, viewer, key):
    canvas = viewer.window._qt_viewer.canvas.native
    canvas.setFocus()
    qtbot.keyClick(canvas, key)


def idle(qtbot, dock):
    qtbot.waitUntil(lambda: not dock.controller.background.busy, timeout=20000)


@pytest.fixture
def suggested(labelling, qtbot):
    """The dock at the first suggestion."""
    qtbot.waitUntil(lambda: bool(labelling.controller.queue.items), timeout=20000)
    press(qtbot, labelling, "next_suggestion")
    return labelling


# ---- the frame ----


def test_the_region_is_framed_around_whole_voxels_and_is_not_active(suggested):
    viewer = suggested._viewer
    frame, suggestion = viewer.layers["attention"], suggested.controller.queue.items[0]
    assert isinstance(frame, Shapes)
    assert viewer.layers.selection.active == viewer.layers["annotation"]
    np.testing.assert_allclose(frame.scale, viewer.layers["image"].scale)
    assert [str(unit) for unit in frame.units] == ["millimeter"] * 3
    points = frame.data[0]
    assert set(points[:, suggestion.plane.axis]) == {suggestion.slice}
    flat = np.delete(points, suggestion.plane.axis, axis=1)
    assert flat.min(axis=0).tolist() == [BOX[0] - 0.5, BOX[2] - 0.5]
    assert flat.max(axis=0).tolist() == [BOX[1] - 0.5, BOX[3] - 0.5]


def test_the_frame_is_seen_on_the_canvas(suggested, qtbot):
    def yellow():
        shot = suggested._viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(int)
        return (np.abs(shot - np.array(FRAME)).sum(axis=2) < 60).sum()

    qtbot.waitUntil(lambda: yellow() > 50, timeout=20000)
    suggested.controller.view.attention.hide()
    qtbot.waitUntil(lambda: yellow() == 0, timeout=20000)


def test_the_frame_goes_when_the_slice_is_left(suggested):
    slices = suggested.controller.view.slices
    slices.go_to(slices.plane, slices.index + 1)
    assert "attention" not in suggested._viewer.layers


def test_the_frame_goes_when_the_plane_is_left(suggested, qtbot):
    other = next(p for p in Plane if p is not suggested.controller.view.slices.plane)
    press(qtbot, suggested, str(other))
    assert "attention" not in suggested._viewer.layers


def test_the_frame_goes_when_a_stroke_begins_and_the_stroke_is_kept(suggested):
    viewer, view = suggested._viewer, suggested.controller.view
    layer = viewer.layers["annotation"]
    layer.mode = "paint"
    at = [6, 6, 6]
    at[view.slices.plane.axis] = view.slices.index
    drag(viewer, layer, [at])
    assert "attention" not in viewer.layers
    assert layer.data[tuple(at)]
    assert viewer.layers.selection.active == layer


def test_dragging_the_picture_leaves_the_frame(suggested):
    layer = suggested._viewer.layers["annotation"]
    layer.mode = "pan_zoom"
    drag(suggested._viewer, layer, [(3, 3, 3), (4, 4, 3)])
    assert "attention" in suggested._viewer.layers


def test_the_next_suggestion_and_the_next_case_have_no_old_frame(suggested, qtbot):
    viewer = suggested._viewer
    press(qtbot, suggested, "next_suggestion")
    assert [layer.name for layer in viewer.layers].count("attention") == 1
    suggested.show_case("ben")
    assert "attention" not in viewer.layers


def test_a_removed_frame_is_no_trouble(suggested, qtbot):
    viewer = suggested._viewer
    viewer.layers.remove("attention")
    press(qtbot, suggested, "next_suggestion")
    assert "attention" in viewer.layers


def test_the_small_picture_shows_the_frame_too(suggested, qtbot):
    qtbot.waitUntil(lambda: not suggested.controller.threads.pictures.busy, timeout=20000)
    image = suggested.suggestions.list.item(0).icon().pixmap(56, 56).toImage()
    colours = {image.pixelColor(x, y).getRgb()[:3] for x in range(56) for y in range(56)}
    assert FRAME in colours


# ---- labels of neighbours ----


@pytest.fixture
def drawn(labelling, qtbot):
    """The bright box of the first case labelled on the middle slice, which is complete."""
    layer = labelling._viewer.layers["annotation"]
    square = np.zeros((24, 20), bool)
    square[8:16, 6:14] = True
    first, second = np.nonzero(square)
    layer.data_setitem((first, second, np.full_like(first, MIDDLE)), 2)
    labelling.controller.view.flush()
    press(qtbot, labelling, "complete_slice")
    return labelling


def test_extend_fills_the_next_slice_as_one_step_that_can_be_undone(
    drawn, qtbot, on_disk, state_on_disk
):
    layer = drawn._viewer.layers["annotation"]
    drawn.controller.view.slices.go_to(Plane.AXIAL, MIDDLE + 1)
    press(qtbot, drawn, "extend_neighbour")
    idle(qtbot, drawn)
    found = layer.data[..., MIDDLE + 1]
    truth = np.zeros_like(found)
    truth[8:16, 6:14] = 2
    assert (found == truth).mean() > 0.95
    assert state_on_disk(Plane.AXIAL, MIDDLE + 1) == "partial"
    assert drawn.annotate._pill.value() == "partial"
    np.testing.assert_array_equal(on_disk(), layer.data)
    layer.undo()
    assert not layer.data[..., MIDDLE + 1].any()
    assert layer.data[..., MIDDLE].any()
    qtbot.waitUntil(lambda: not on_disk()[..., MIDDLE + 1].any(), timeout=20000)


def test_the_key_extends_and_own_strokes_stay(drawn, qtbot):
    viewer = drawn._viewer
    layer = viewer.layers["annotation"]
    drawn.controller.view.slices.go_to(Plane.AXIAL, MIDDLE - 1)
    layer.data_setitem((np.array([10]), np.array([10]), np.array([MIDDLE - 1])), 1)
    type_key(qtbot, viewer, Qt.Key.Key_E)
    idle(qtbot, drawn)
    found = layer.data[..., MIDDLE - 1]
    assert found[10, 10] == 1
    assert (found == 2).sum() > 40


def test_the_slice_that_was_asked_for_is_filled_though_another_is_shown(drawn, qtbot):
    slices = drawn.controller.view.slices
    slices.go_to(Plane.AXIAL, MIDDLE + 1)
    press(qtbot, drawn, "extend_neighbour")
    slices.go_to(Plane.AXIAL, MIDDLE + 5)
    idle(qtbot, drawn)
    layer = drawn._viewer.layers["annotation"]
    filled = {z for z in range(16) if take_slice(layer.data, Plane.AXIAL, z).any()}
    assert filled == {MIDDLE, MIDDLE + 1}


def test_a_case_that_has_gone_gets_nothing(drawn, qtbot):
    drawn.controller.view.slices.go_to(Plane.AXIAL, MIDDLE + 1)
    press(qtbot, drawn, "extend_neighbour")
    drawn.show_case("ben")
    idle(qtbot, drawn)
    assert not drawn._viewer.layers["annotation"].data.any()


def test_a_slice_that_was_completed_meanwhile_is_left_as_it_is(
    drawn, qtbot, state_on_disk, monkeypatch
):
    told = []
    monkeypatch.setattr("napari_sslseg.widgets.annotate.show_info", told.append)
    drawn.controller.view.slices.go_to(Plane.AXIAL, MIDDLE + 1)
    drawn.annotate.extend()
    drawn.annotate.complete()  # before what was carried can have come
    drawn.controller.view.slices.go_to(Plane.AXIAL, MIDDLE + 5)
    idle(qtbot, drawn)
    assert not drawn._viewer.layers["annotation"].data[..., MIDDLE + 1].any()
    assert state_on_disk(Plane.AXIAL, MIDDLE + 1) == "complete"
    assert told == [IS_COMPLETE]


def test_without_a_labelled_neighbour_it_is_told(labelling, qtbot, monkeypatch):
    told = []
    monkeypatch.setattr("napari_sslseg.widgets.annotate.show_info", told.append)
    press(qtbot, labelling, "extend_neighbour")
    assert told == ["No labelled axial slice within 8 slices."]
