"""The whole loop in a real window with the real engine in its child process."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDoubleSpinBox, QPushButton
from strokes import drag

from napari_sslseg import _samples
from napari_sslseg.widgets.export import ExportDialog
from sslseg.core.events import CommandDone, Exported, PredictionReady, RunFinished, RunStarted
from sslseg.core.geometry import Plane, take_slice
from sslseg.storage.store import ProjectStore

MINUTES = 0.1
CASE = "sample_05"


def press(qtbot, dock, name):
    button = dock.findChild(QPushButton, name)
    qtbot.waitUntil(button.isEnabled, timeout=60000)
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def wait_for(qtbot, told, kind, count=1, seconds=180):
    qtbot.waitUntil(
        lambda: sum(isinstance(event, kind) for event in told) >= count, timeout=1000 * seconds
    )
    return [event for event in told if isinstance(event, kind)][count - 1]


@pytest.mark.slow
def test_open_paint_train_look_next_accept_retrain_export_reload(
    make_napari_viewer, qtbot, tmp_path, monkeypatch
):
    monkeypatch.setenv("SSLSEG_THREADS", "1")
    monkeypatch.setattr(_samples, "new_folder", lambda kind: tmp_path / kind)
    viewer = make_napari_viewer(show=True)
    viewer.open_sample("napari-sslseg", "generated")
    _, dock = viewer.window.add_plugin_dock_widget("napari-sslseg", "SSL Segmentation")
    told = []
    dock.controller.told.connect(told.append)
    project = dock.controller.store.path

    # Paint three slices of a case that nobody labelled.
    dock.show_case(CASE)
    view = dock.controller.view
    layer = viewer.layers["annotation"]
    z, y, x = (side // 2 for side in reversed(layer.data.shape))
    for offset in (-4, 0, 4):
        view.slices.go_to(Plane.AXIAL, z + offset)
        drag(viewer, layer, [(x - 3, y, z + offset), (x + 3, y, z + offset)])
    qtbot.waitUntil(lambda: _labelled(project, CASE) == 3, timeout=5000)
    painted = layer.data.copy()

    # Train: layers appear, the annotation stays as it was.
    dock.findChild(QDoubleSpinBox, "minutes").setValue(MINUTES)
    press(qtbot, dock, "train")
    assert wait_for(qtbot, told, RunFinished).message == ""
    qtbot.waitUntil(
        lambda: (
            {"prediction", "uncertainty", "confidence"} <= {each.name for each in viewer.layers}
        ),
        timeout=60000,
    )
    np.testing.assert_array_equal(viewer.layers["annotation"].data, painted)
    for name in ("prediction", "uncertainty", "confidence"):
        np.testing.assert_allclose(viewer.layers[name].scale, viewer.layers["image"].scale)
    qtbot.waitUntil(lambda: _predicted_cases(told) == 8, timeout=120000)
    qtbot.waitUntil(lambda: _ends(told, "suggest") > 0, timeout=60000)

    # Next goes where the list says; accept is one undoable step, on disk at once.
    first = dock.controller.queue.items[0]
    press(qtbot, dock, "next_suggestion")
    assert (view.case.name, view.slices.plane, view.slices.index) == (
        first.case,
        first.plane,
        first.slice,
    )
    qtbot.waitUntil(lambda: view.prediction is not None, timeout=30000)
    layer = viewer.layers["annotation"]
    before = layer.data.copy()
    if np.any(take_slice(view.prediction.labels, first.plane, first.slice)):
        press(qtbot, dock, "accept_prediction")
        assert np.any(take_slice(layer.data, first.plane, first.slice) != 0)
        layer.undo()
        np.testing.assert_array_equal(layer.data, before)
        layer.redo()
    press(qtbot, dock, "complete_slice")
    qtbot.waitUntil(lambda: _labelled(project, first.case) >= 1, timeout=5000)
    if first.case == CASE:  # then the accepted slice is one of its strokes
        painted = layer.data.copy()

    # The next round goes on from this one.
    press(qtbot, dock, "train")
    started = wait_for(qtbot, told, RunStarted, 2)
    assert any("Goes on from run" in words for words in started.plan)
    wait_for(qtbot, told, RunFinished, 2)

    # Masks out, on the source's grid.
    press(qtbot, dock, "export")
    dialog = dock.findChild(ExportDialog)
    dialog.folder.setText(str(tmp_path / "masks"))
    dialog.accept()
    files = wait_for(qtbot, told, Exported).files
    assert len(files) == 8
    with ProjectStore.open(project, read_only=True) as store:
        source = nibabel.load(store.source_path(CASE))
    mask = nibabel.load(tmp_path / "masks" / f"{CASE}.nii.gz")
    assert mask.shape == source.shape
    np.testing.assert_allclose(mask.affine, source.affine)

    # Reload: all strokes are there.
    dock.open_project(project)
    dock.show_case(CASE)
    np.testing.assert_array_equal(viewer.layers["annotation"].data, painted)
    dock.shut()


def _labelled(project, case):
    with ProjectStore.open(project, read_only=True) as store:
        return sum(record.state != "none" for record in store.slices(case))


def _ends(told, command):
    return sum(isinstance(event, CommandDone) and event.command == command for event in told)


def _predicted_cases(told):
    return len({event.case for event in told if isinstance(event, PredictionReady)})
