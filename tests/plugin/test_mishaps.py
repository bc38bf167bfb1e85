"""What happens beside the way: images that changed, panels that float, the same trouble twice."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QDockWidget, QLabel, QPushButton
from strokes import press

from napari_sslseg.notices import Notices
from sslseg.core.errors import SslsegError
from sslseg.core.events import CommandDone, FinishReason, RunFinished


def test_the_same_trouble_is_told_of_each_command(monkeypatch):
    told = []
    monkeypatch.setattr("napari_sslseg.notices.show_warning", told.append)
    monkeypatch.setattr("napari_sslseg.notices.show_error", told.append)
    notices, message = Notices(), "Got no image of case b."
    notices.follow(
        RunFinished(run="r", reason=FinishReason.FAILED, step=0, seconds=1.0, message=message)
    )
    notices.follow(CommandDone(command="train", message=message))
    assert told == [message], "once of one command"
    notices.follow(CommandDone(command="predict", message=message))
    assert told == [message, message]


def test_what_would_wait_for_a_pretraining_cannot_be_asked_for(labelling, qtbot):
    dock = labelling
    qtbot.waitUntil(lambda: not dock.controller.awaits("open", "suggest"), timeout=5000)
    press(qtbot, dock, "pretrain")
    for name in ("predict_all", "export", "simulate"):
        assert not dock.findChild(QPushButton, name).isEnabled(), name
    press(qtbot, dock, "stop")
    qtbot.waitUntil(lambda: not dock.controller.awaits("pretrain"), timeout=5000)
    assert dock.findChild(QPushButton, "export").isEnabled()


def test_the_next_undone_case_is_one_that_can_be_read(labelling, qtbot, monkeypatch):
    dock, told = labelling, []
    monkeypatch.setattr("napari_sslseg.controller.show_error", told.append)
    dock.controller.store.source_path("ben").unlink()
    qtbot.mouseClick(dock.cases._next, Qt.MouseButton.LeftButton)
    names = list(dock.controller.worklist.summaries)
    assert dock.controller.view.case.name == names[2]
    assert "ben" in str(told)
    for name in names[:2]:
        dock.controller.set_done(name, True)
    layer = dock.controller.view.layers.annotation
    qtbot.mouseClick(dock.cases._next, Qt.MouseButton.LeftButton)
    assert dock.controller.view.layers.annotation is layer, "the only one stays as it is"


def test_another_image_in_place_of_a_case_s_is_not_shown(labelling, qtbot, monkeypatch):
    """Labels lie on the voxels of the first; strokes would be learnt with the cached image."""
    dock, told = labelling, []
    monkeypatch.setattr("napari_sslseg.controller.show_error", told.append)
    store = dock.controller.store
    store.source_path("ben").write_bytes(store.source_path("anna").read_bytes())
    dock.controller.show_case("ben")
    qtbot.waitUntil(lambda: dock.controller.view.case is None, timeout=5000)
    assert "case ben that changed since it was added" in str(told)
    assert not dock._viewer.layers
    assert not dock.findChild(QPushButton, "complete_slice").isEnabled()


def test_an_image_on_another_grid_is_not_shown_for_a_moment(labelling):
    dock = labelling
    path = dock.controller.store.source_path("ben")
    image = nibabel.load(path)
    moved = np.asarray(image.dataobj)[1:]
    nibabel.save(nibabel.Nifti1Image(moved, image.affine), path)
    with pytest.raises(SslsegError, match="changed since it was added"):
        dock.controller.show_case("ben")
    assert dock.controller.view.case.name == "anna"


def test_a_new_project_leaves_nothing_of_the_case_before(labelling, tmp_path):
    dock = labelling
    dock.controller.new_project(tmp_path / "empty", ["spleen"])
    assert dock.annotate.place.findChild(QLabel).text() == "no case on the screen"
    assert not dock.findChild(QPushButton, "complete_slice").isEnabled()
    canvas = getattr(dock._viewer, "canvas", None)
    caption = dock._viewer.text_overlay if canvas is None else canvas.overlays.text
    assert caption.text == ""


def test_a_panel_that_floats_can_be_hidden(labelling, qtbot):
    dock = labelling
    panel = dock.parent()
    while not isinstance(panel, QDockWidget):
        panel = panel.parent()
    panel.setFloating(True)
    qtbot.waitUntil(panel.isVisible, timeout=5000)
    panel.close()
    qtbot.waitUntil(lambda: not dock.isVisible(), timeout=5000)
    QApplication.processEvents()  # what would end the dock is queued by now
    assert not dock.controller.closed
    panel.show()
    qtbot.waitUntil(dock.isVisible, timeout=5000)
    assert dock.controller.view.case.name == "anna"
