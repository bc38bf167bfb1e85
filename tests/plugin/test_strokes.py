"""Whatever happens to the annotation layer is on disk a moment later, and nothing else is."""

from __future__ import annotations

import time

import numpy as np
import pytest
from fake_engine import ball_labels
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QMessageBox, QWidget
from strokes import drag

from napari_sslseg.widgets.annotate import IS_COMPLETE
from napari_sslseg.widgets.unsaved import may_lose
from sslseg.core.annotation import SliceState
from sslseg.core.errors import SslsegError
from sslseg.core.geometry import Plane, take_slice
from sslseg.storage.store import ProjectStore

MIDDLE = 8
"""The axial slice that a case opens on."""


@pytest.fixture
def layer(labelling):
    return labelling.controller.view.layers.annotation


@pytest.fixture
def same(layer, on_disk):
    """Whether disk and layer agree, voxel by voxel."""
    return lambda: np.array_equal(on_disk(), layer.data)


def stroke(dock, layer, z=MIDDLE, size=3):
    layer.mode, layer.brush_size = "paint", size
    drag(dock._viewer, layer, [(8, 8, z), (10, 8, z), (12, 9, z)])


def test_a_stroke_is_on_disk_within_250_ms_of_mouse_release(labelling, layer, qtbot, same, on_disk):
    qtbot.wait(300)  # the window's first drawing is no part of it
    pressed = time.perf_counter()
    stroke(labelling, layer)
    qtbot.waitUntil(same, timeout=1000)
    assert time.perf_counter() - pressed < 0.25
    assert on_disk()[8:13, 8, MIDDLE].all()


def test_undo_and_redo_are_kept_though_napari_tells_nothing(labelling, layer, qtbot, same, on_disk):
    stroke(labelling, layer)
    qtbot.waitUntil(same, timeout=1000)
    painted = layer.data.copy()
    layer.undo()
    qtbot.waitUntil(lambda: not on_disk().any(), timeout=1000)
    layer.redo()
    qtbot.waitUntil(lambda: np.array_equal(on_disk(), painted), timeout=1000)


def test_undo_of_a_hidden_layer_is_kept(labelling, layer, qtbot, on_disk):
    stroke(labelling, layer)
    qtbot.waitUntil(lambda: on_disk().any(), timeout=1000)
    layer.visible = False
    layer.undo()
    qtbot.waitUntil(lambda: not on_disk().any(), timeout=3000)


def test_erase_fill_polygon_and_background(labelling, layer, qtbot, same, on_disk):
    stroke(labelling, layer, size=6)
    layer.mode = "erase"
    drag(labelling._viewer, layer, [(10, 8, MIDDLE), (10, 9, MIDDLE)])
    qtbot.waitUntil(same, timeout=1000)
    layer.fill((20, 2, MIDDLE), 255)
    qtbot.waitUntil(same, timeout=1000)
    assert on_disk()[20, 2, MIDDLE] == 255
    layer.paint_polygon([(2, 2, MIDDLE), (2, 6, MIDDLE), (6, 6, MIDDLE), (6, 2, MIDDLE)], 2)
    qtbot.waitUntil(same, timeout=1000)
    assert on_disk()[4, 4, MIDDLE] == 2


def test_a_layer_that_was_converted_is_saved_as_before(labelling, layer, on_disk):
    """With the layer list's menu; values above 255 are refused as ever."""
    layer.data = layer.data.astype(np.int32)
    take_slice(layer.data, Plane.AXIAL, 3)[2, 2] = 1
    assert labelling.controller.view.flush()
    assert take_slice(on_disk(), Plane.AXIAL, 3)[2, 2] == 1


def test_writing_into_the_array_is_noticed(labelling, layer, qtbot, same):
    layer.data[3, 4, 5] = 2
    qtbot.waitUntil(same, timeout=3000)


def test_direct_writes_are_on_disk_before_a_training_starts(labelling, layer, runner, on_disk):
    layer.data[3, 4, 5] = 2
    labelling.train.train_button.click()
    assert on_disk()[3, 4, 5] == 2
    assert runner.sent[-1].kind == "train"


def test_each_plane_files_its_own_slices(labelling, layer, qtbot, same, state_on_disk):
    view = labelling.controller.view.slices
    stroke(labelling, layer)
    qtbot.waitUntil(same, timeout=1000)
    view.set_plane(Plane.CORONAL)
    view.go_to(Plane.CORONAL, 15)
    drag(labelling._viewer, layer, [(5, 15, 3), (9, 15, 3)])
    qtbot.waitUntil(same, timeout=1000)
    assert state_on_disk(Plane.CORONAL, 15) == "partial"
    layer.undo()
    layer.undo()  # the axial stroke, seen from the front
    qtbot.waitUntil(same, timeout=1000)
    assert state_on_disk(Plane.AXIAL, MIDDLE) == "none"
    assert state_on_disk(Plane.SAGITTAL, 10) == "none"


def test_a_brush_in_three_dimensions_is_kept(labelling, layer, qtbot, same):
    layer.n_edit_dimensions = 3
    stroke(labelling, layer, size=6)
    qtbot.waitUntil(same, timeout=1000)


def test_complete_on_a_truly_empty_slice_teaches(labelling, qtbot, state_on_disk, project):
    dock = labelling
    dock.controller.view.slices.go_to(Plane.AXIAL, 1)
    qtbot.mouseClick(dock.annotate._complete, Qt.MouseButton.LeftButton)
    assert state_on_disk(Plane.AXIAL, 1) == "complete"
    assert dock.annotate._pill.value() == "complete"
    with ProjectStore.open(project, read_only=True) as store:
        assert (store.annotation("anna").target()[:, :, 1] == 0).all()
    qtbot.mouseClick(dock.annotate._complete, Qt.MouseButton.LeftButton)
    assert state_on_disk(Plane.AXIAL, 1) == "none"


def test_painting_on_a_complete_slice_leaves_it_complete(
    labelling, layer, qtbot, same, state_on_disk
):
    labelling.annotate.complete()
    stroke(labelling, layer)
    qtbot.waitUntil(same, timeout=1000)
    assert state_on_disk(Plane.AXIAL, MIDDLE) == "complete"


def test_undo_past_complete_takes_complete_back_and_redo_brings_it(
    labelling, layer, qtbot, same, state_on_disk
):
    def state():
        qtbot.waitUntil(same, timeout=3000)
        return state_on_disk(Plane.AXIAL, MIDDLE)

    stroke(labelling, layer)
    assert state() == "partial"
    drag(labelling._viewer, layer, [(4, 4, MIDDLE), (4, 9, MIDDLE)])
    assert state() == "partial"
    labelling.annotate.complete()
    assert state() == "complete"
    layer.undo()
    assert state() == "partial"
    assert labelling.annotate._pill.value() == "partial"
    layer.undo()
    assert state() == "none"
    layer.redo()
    assert state() == "partial"
    layer.redo()
    assert state() == "complete"


def test_another_case_gets_a_new_layer_and_no_old_undo(labelling, layer, qtbot, on_disk):
    stroke(labelling, layer)
    painted = layer.data.copy()
    labelling.show_case("ben")
    assert np.array_equal(on_disk("anna"), painted)
    fresh = labelling.controller.view.layers.annotation
    assert fresh is not layer
    fresh.undo()
    assert not fresh.data.any()
    labelling.show_case("anna")
    assert np.array_equal(labelling.controller.view.layers.annotation.data, painted)
    assert not on_disk("ben").any()


def predict(dock, qtbot):
    dock.train.train_button.click()
    qtbot.waitUntil(lambda: "prediction" in dock._viewer.layers, timeout=5000)


def test_a_new_prediction_never_touches_the_annotation(labelling, layer, qtbot, same, on_disk):
    stroke(labelling, layer)
    before = layer.data.copy()
    predict(labelling, qtbot)
    array = layer.data
    seen = []
    labelling.controller.predicted.connect(lambda p: seen.append(p.info.version))
    qtbot.waitUntil(lambda: len(seen) >= 2, timeout=8000)
    assert layer.data is array
    assert np.array_equal(layer.data, before)
    layer.undo()  # Ctrl+Z after a refresh takes back the stroke, nothing else
    assert not layer.data.any()
    qtbot.waitUntil(same, timeout=1000)


def test_accept_fills_what_is_free_and_one_undo_takes_it_back(labelling, layer, qtbot, same):
    layer.selected_label = 255
    stroke(labelling, layer)
    before = layer.data.copy()
    predict(labelling, qtbot)
    qtbot.mouseClick(labelling.annotate._accept, Qt.MouseButton.LeftButton)
    said = ball_labels(layer.data.shape)[:, :, MIDDLE]
    mine = before[:, :, MIDDLE]
    assert np.array_equal(layer.data[:, :, MIDDLE], np.where(mine == 0, said, mine))
    others = np.arange(layer.data.shape[2]) != MIDDLE
    assert np.array_equal(layer.data[:, :, others], before[:, :, others])
    assert same()
    layer.undo()
    assert np.array_equal(layer.data, before)
    qtbot.waitUntil(same, timeout=1000)


@pytest.mark.parametrize("take_over", ["accept", "extend"])
def test_a_complete_slice_takes_nothing_over(labelling, layer, qtbot, monkeypatch, take_over):
    told = []
    monkeypatch.setattr("napari_sslseg.widgets.annotate.show_info", told.append)
    predict(labelling, qtbot)
    labelling.annotate.accept()
    layer.data[:, :, MIDDLE][layer.data[:, :, MIDDLE] == 2] = 0  # erased: it is background
    labelling.annotate.complete()
    before = layer.data.copy()
    getattr(labelling.annotate, take_over)()
    assert np.array_equal(layer.data, before)
    assert told == [IS_COMPLETE]
    labelling.annotate.complete()  # reopened
    labelling.annotate.accept()
    assert not np.array_equal(layer.data, before)


def test_the_revision_remembers_which_model_was_seen(labelling, layer, qtbot, project):
    predict(labelling, qtbot)
    version = labelling.controller.view.prediction.info.version
    labelling.annotate.accept()
    with ProjectStore.open(project, read_only=True) as store:
        assert store.slices("anna")[-1].model == version


def test_a_full_disk_is_told_once_and_tried_again(labelling, layer, qtbot, same, monkeypatch):
    told = []
    monkeypatch.setattr("napari_sslseg.controller.show_error", told.append)
    store = labelling.controller.store
    real = store.save_slices

    def refuse(*args, **kwargs):
        raise SslsegError("a full disk", "room", "Free some space.")

    monkeypatch.setattr(store, "save_slices", refuse)
    stroke(labelling, layer)
    qtbot.waitUntil(lambda: bool(told), timeout=1000)
    labelling.controller.view.flush()
    assert len(told) == 1
    assert layer.data.any()
    labelling.status.refresh()
    assert "not saved" in labelling.status.text()
    monkeypatch.setattr(store, "save_slices", real)
    qtbot.waitUntil(same, timeout=3000)
    labelling.status.refresh()
    assert "saved" in labelling.status.text()


def answer(parent, asked, begins):
    """Click a button of the question about unsaved strokes once it is asked."""
    box = parent.findChild(QMessageBox, "unsaved")
    asked.append(box.text())
    next(button for button in box.buttons() if button.text().startswith(begins)).click()


def test_a_window_with_unsaved_strokes_asks_before_it_closes(
    labelling, layer, qtbot, monkeypatch, same
):
    def refuse(*args, **kwargs):
        raise SslsegError("a full disk", "room", "Free some space.")

    asked = []
    window, store = labelling.window(), labelling.controller.store
    real = store.save_slices
    monkeypatch.setattr(store, "save_slices", refuse)
    layer.data[8, 6, 5] = 1
    QTimer.singleShot(300, lambda: answer(window, asked, "Keep open"))
    window.close()
    assert len(asked) == 1
    assert "anna" in asked[0]
    assert window.isVisible()
    monkeypatch.setattr(store, "save_slices", real)
    qtbot.waitUntil(same, timeout=3000)  # the adapter is still at work


def test_a_dock_that_is_taken_out_leaves_strokes_that_could_not_be_written(
    labelling, layer, monkeypatch
):
    def refuse(*args, **kwargs):
        raise SslsegError("a full disk", "room", "Free some space.")

    told = []
    monkeypatch.setattr("napari_sslseg._dock.show_warning", told.append)
    monkeypatch.setattr(labelling.controller.store, "save_slices", refuse)
    layer.data[8, 6, 5] = 1
    labelling.shut()
    assert layer in labelling._viewer.layers
    assert layer.data[8, 6, 5] == 1
    assert "annotation" in told[0]


def test_unsaved_strokes_may_be_lost_where_the_user_says_so(qtbot):
    asked, parent = [], QWidget()
    qtbot.addWidget(parent)
    QTimer.singleShot(100, lambda: answer(parent, asked, "Close and lose them"))
    assert may_lose("anna", parent)
    assert len(asked) == 1


def test_a_value_without_a_class_holds_back_its_own_slice_alone(labelling, layer, qtbot, on_disk):
    told = []
    labelling.controller.view.failed.connect(told.append)
    layer.data[3, 4, 1] = 9  # from napari's console: no brush paints it
    layer.data[8, 6, 5] = 1
    qtbot.waitUntil(lambda: on_disk()[8, 6, 5] == 1, timeout=3000)
    assert not on_disk()[:, :, 1].any()
    layer.data[8, 7, 5] = 1
    qtbot.waitUntil(lambda: on_disk()[8, 7, 5] == 1, timeout=3000)
    assert [str(error).startswith("Got label values [9]") for error in told] == [True]
    layer.data[3, 4, 1] = 2
    qtbot.waitUntil(lambda: on_disk()[3, 4, 1] == 2, timeout=3000)
    assert not labelling.controller.view.failing


def test_strokes_that_cannot_be_written_are_not_thrown_away(
    labelling, layer, project, monkeypatch, same, qtbot
):
    store = labelling.controller.store
    real = store.save_slices

    def refuse(*args, **kwargs):
        raise SslsegError("a full disk", "room", "Free some space.")

    monkeypatch.setattr(store, "save_slices", refuse)
    stroke(labelling, layer)
    painted = np.array(layer.data)
    for leave in (
        lambda: labelling.show_case("ben"),
        lambda: labelling.open_project(project),
        labelling.controller.close_project,
    ):
        with pytest.raises(SslsegError, match="strokes that could not be written"):
            leave()
    assert labelling.controller.store is store
    assert labelling.controller.view.case.name == "anna"
    assert labelling.controller.view.layers.annotation is layer
    assert np.array_equal(layer.data, painted)
    monkeypatch.setattr(store, "save_slices", real)
    qtbot.waitUntil(same, timeout=3000)
    labelling.show_case("ben")
    assert labelling.controller.view.case.name == "ben"


def test_a_damaged_revision_is_told_and_the_case_is_shown(labelling, layer, monkeypatch):
    told = []
    monkeypatch.setattr("napari_sslseg.controller.show_error", told.append)
    store = labelling.controller.store
    real = store.annotation

    def damaged(case, skip_damaged=False):
        if not skip_damaged:
            raise SslsegError("a damaged revision", "a whole one", "Paint it anew.")
        return real(case, skip_damaged=True)

    monkeypatch.setattr(store, "annotation", damaged)
    labelling.show_case("ben")
    assert labelling.controller.view.case.name == "ben"
    assert len(told) == 1
    assert "a damaged revision" in told[0]


def test_a_project_that_is_open_elsewhere_can_only_be_looked_at(dock, project, qtbot):
    held = ProjectStore.open(project)
    held.save_slices("anna", Plane.AXIAL, {8: (np.ones((24, 20), np.uint8), SliceState.COMPLETE)})
    # The same process counts as the holder's heir, so pretend to be another one.
    held.close()
    import json
    import os
    import socket

    holder = {
        "host": socket.gethostname(),
        "pid": os.getppid(),
        "user": "someone",
        "started": time.time(),
        "token": "t",
    }
    (project / "project.lease").write_text(json.dumps(holder))
    dock.open_project(project)
    assert dock.controller.store.read_only
    assert not dock.controller.view.layers.annotation.editable
    assert not dock.train.train_button.isEnabled()
    assert not dock.annotate._complete.isEnabled()
    dock.controller.view.slices.go_to(Plane.AXIAL, 8)
    assert dock.controller.view.state is SliceState.COMPLETE
    dock.controller.view.slices.go_to(Plane.AXIAL, 9)
    assert dock.controller.view.state is SliceState.NONE


@pytest.mark.parametrize("names", [["annotation"], ["image"], ["annotation", "image"]])
def test_a_layer_that_is_thrown_away_comes_back_with_all_strokes(
    labelling, layer, qtbot, same, on_disk, names
):
    viewer = labelling._viewer
    stroke(labelling, layer)
    qtbot.waitUntil(lambda: on_disk().any(), timeout=1000)
    painted = layer.data.copy()
    for name in names:
        viewer.layers.remove(viewer.layers[name])
    labelling.annotate.choose(2)
    qtbot.waitUntil(lambda: len(viewer.layers) == 2, timeout=1000)
    assert [found.name for found in viewer.layers] == ["image", "annotation"]
    assert np.array_equal(viewer.layers["annotation"].data, painted)
    stroke(labelling, viewer.layers["annotation"], z=MIDDLE + 1)
    qtbot.waitUntil(lambda: on_disk()[..., MIDDLE + 1].any(), timeout=1000)
    assert same()
    labelling.show_case("ben")
    assert [found.name for found in viewer.layers] == ["image", "annotation"]


def test_layers_that_were_let_go_stay_away(labelling, qtbot):
    viewer = labelling._viewer
    labelling.controller.view.close()
    viewer.layers.clear()
    qtbot.wait(50)
    assert not viewer.layers


def test_a_label_that_is_no_class_cannot_be_painted(labelling, layer, qtbot, on_disk):
    labelling.annotate.choose(2)
    layer.selected_label = 3  # napari's own "new" button does this
    assert layer.selected_label == 2
    stroke(labelling, layer)
    qtbot.waitUntil(lambda: on_disk().any(), timeout=1000)
    assert set(np.unique(on_disk())) == {0, 2}
    layer.selected_label = 0
    assert layer.selected_label == 0, "unpainting goes on as napari does it"
