"""The dock as the clinician meets it: buttons pressed, keys typed, layers looked at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fake_engine import HEALTH
from napari.layers import Image, Labels
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QFileDialog, QLabel, QPushButton, QWidget
from strokes import press, type_key

from napari_sslseg.history import last_training
from napari_sslseg.widgets.export import NOT_EMPTY, ExportDialog
from napari_sslseg.widgets.suggestions import NO_VOLUMES
from napari_sslseg.widgets.train import NO_PLAN
from sslseg.core.catalogue import DEFAULT_PRETRAINING, pretraining_methods
from sslseg.core.commands import Export, Open, Predict, Pretrain, ShowCase, Train
from sslseg.core.events import RunFinished
from sslseg.core.geometry import Plane
from sslseg.storage.checkpoints import save
from sslseg.storage.store import ProjectStore

NAMES = [
    *("new_project", "open_project", "add_images", "case_list", "complete_slice"),
    *("accept_prediction", "train", "pretrain", "stop", "method", "minutes", "next_suggestion"),
    *("suggestion_list", "export", "extend_neighbour", "pretrain_method", "compare", "fresh"),
]


def train_to_the_end(qtbot, dock):
    told = []
    dock.controller.told.connect(told.append)
    press(qtbot, dock, "train")
    qtbot.waitUntil(lambda: any(isinstance(e, RunFinished) for e in told), timeout=20000)
    qtbot.waitUntil(lambda: dock.controller.view.prediction is not None, timeout=5000)


def test_every_control_has_its_name_and_a_tooltip(labelling):
    for name in NAMES:
        widget = labelling.findChild(QWidget, name)
        assert widget is not None, name
        assert widget.toolTip(), name
    for button in labelling.findChildren(QPushButton):
        assert button.toolTip(), button.text()


def test_opening_a_project_shows_its_first_case_ready_to_paint(labelling, runner, project):
    viewer = labelling._viewer
    assert [layer.name for layer in viewer.layers] == ["image", "annotation"]
    layer = viewer.layers["annotation"]
    assert viewer.layers.selection.active == layer
    assert layer.mode == "paint"
    assert layer.data.dtype == np.uint8
    assert np.allclose(layer.scale, (1.0, 1.2, 2.0))
    assert [str(unit) for unit in layer.units] == ["millimeter"] * 3
    assert tuple(viewer.dims.order) == (2, 1, 0)
    assert [type(command) for command in runner.sent[:2]] == [Open, ShowCase]
    assert labelling.cases.table.rowCount() == 3
    named = dict(zip(layer.features["index"], layer.features["class"], strict=True))
    assert named[1] == "liver"
    assert named[255] == "background"


def test_training_shows_layers_curves_and_progress(labelling, qtbot, runner):
    dock, viewer = labelling, labelling._viewer
    train_to_the_end(qtbot, dock)
    assert [layer.name for layer in viewer.layers] == [
        "image",
        "uncertainty",
        "confidence",
        "prediction",
        "annotation",
    ]
    assert isinstance(viewer.layers["prediction"], Labels)
    assert isinstance(viewer.layers["uncertainty"], Image)
    for layer in viewer.layers:
        assert np.allclose(layer.scale, (1.0, 1.2, 2.0)), layer.name
    assert viewer.layers.selection.active == viewer.layers["annotation"]
    assert len(dock.train.curves.points("supervised")[0]) == runner.steps
    assert len(dock.train.curves.points("dice")[0]) == runner.steps // 5
    for name, value in (("auc", 0.81), ("real", 0.8), ("fake", 0.7), ("diversity", 0.05)):
        assert dock.train.curves.points(name) == ([runner.steps], [value])
        assert f"{value:.2f}" in dock.findChild(QLabel, "judged").text()
    assert "completed" in dock.train.bar.text()
    assert "U-Net" in dock.train.plan.text()
    assert HEALTH.words in dock.look._critic.text()
    assert dock.cases.table.item(0, 3).data(Qt.ItemDataRole.UserRole) > 0


def test_buttons_follow_the_engine_and_stop_keeps_what_was_learnt(labelling, qtbot, runner):
    dock = labelling
    runner.steps = 10_000
    train, stop = dock.train.train_button, dock.train.stop_button
    assert train.isEnabled()
    assert not stop.isEnabled()
    press(qtbot, dock, "train")
    qtbot.waitUntil(lambda: bool(dock.train.curves.points("supervised")[0]), timeout=5000)
    assert not train.isEnabled()
    press(qtbot, dock, "stop")
    qtbot.waitUntil(train.isEnabled, timeout=5000)
    assert not stop.isEnabled()
    assert "stopped" in dock.train.bar.text()


def test_learning_from_images_first_shows_progress_and_keeps_the_predictions(
    labelling, qtbot, runner
):
    dock = labelling
    train_to_the_end(qtbot, dock)
    qtbot.waitUntil(dock.train.train_button.isEnabled, timeout=5000)
    runner.steps = 10_000
    press(qtbot, dock, "pretrain")
    qtbot.waitUntil(lambda: dock.train.plan.text() == "No label is looked at.", timeout=5000)
    qtbot.waitUntil(lambda: bool(dock.train.curves.points("unsupervised")[0]), timeout=5000)
    assert not dock.train.train_button.isEnabled()
    assert not dock.train.pretrain_button.isEnabled()
    press(qtbot, dock, "stop")
    qtbot.waitUntil(dock.train.train_button.isEnabled, timeout=5000)
    assert dock.train.pretrain_button.isEnabled()
    assert "stopped" in dock.train.bar.text()
    assert not dock.controller._fresh.claim("anna"), "the model behind the predictions is the same"


def test_learning_from_images_plans_as_a_training_would(labelling, qtbot, runner):
    form = labelling.train
    form.minutes.setValue(1.5)
    form.form.set_value({"context": 3, "consistency": 0.5})
    press(qtbot, labelling, "pretrain")
    sent = runner.sent[-1]
    assert isinstance(sent, Pretrain)
    assert sent.request.minutes == 1.5
    assert sent.request.method is None
    assert sent.request.settings == {"context": 3}


def test_each_way_to_learn_from_images_can_be_chosen(labelling, qtbot, runner):
    choice = labelling.train.pretrain_method
    offered = {method.name: method for method in pretraining_methods()}
    assert {choice.itemData(index) for index in range(choice.count())} == set(offered)
    assert choice.currentData() == DEFAULT_PRETRAINING
    for name in ("jigsaw", "contrastive"):
        qtbot.waitUntil(labelling.train.pretrain_button.isEnabled, timeout=5000)
        choice.setCurrentIndex(choice.findData(name))
        assert offered[name].summary in choice.toolTip()
        press(qtbot, labelling, "pretrain")
        assert isinstance(runner.sent[-1], Pretrain)
        assert runner.sent[-1].request.method == name


def test_start_anew_holds_for_one_training(labelling, qtbot, runner):
    form = labelling.train
    assert not form.value().fresh
    form.fresh.setChecked(True)
    press(qtbot, labelling, "pretrain")
    qtbot.waitUntil(lambda: not labelling.controller.awaits("pretrain"), timeout=20000)
    assert form.fresh.isChecked(), "it is of trainings"
    qtbot.waitUntil(form.train_button.isEnabled, timeout=5000)
    press(qtbot, labelling, "train")
    assert runner.sent[-1].request.fresh
    qtbot.waitUntil(lambda: not form.fresh.isChecked(), timeout=20000)


def test_the_request_carries_method_minutes_and_changed_parameters(labelling, qtbot, runner):
    form = labelling.train
    form.method.setCurrentIndex(form.method.findData("co-training"))
    form.minutes.setValue(2.5)
    chosen = next(m for n, m in form._methods.items() if n == "co-training")
    assert chosen.summary in form.summary.text()
    number = next(p for p in chosen.parameters if p.type == "float" and p.maximum != p.default)
    form.form.set_value({number.name: number.maximum or 2.0})
    press(qtbot, labelling, "train")
    request = runner.sent[-1].request
    assert isinstance(runner.sent[-1], Train)
    assert (request.method, request.minutes) == ("co-training", 2.5)
    assert list(request.settings) == [number.name]


def test_keys_work_though_napari_has_them_for_other_things(labelling, qtbot):
    dock, viewer = labelling, labelling._viewer
    train_to_the_end(qtbot, dock)
    layer = viewer.layers["annotation"]
    type_key(qtbot, viewer, Qt.Key.Key_2)
    assert (layer.selected_label, layer.mode) == (2, "paint")
    type_key(qtbot, viewer, Qt.Key.Key_0)
    assert layer.selected_label == 255
    shown = viewer.layers["prediction"].visible
    type_key(qtbot, viewer, Qt.Key.Key_P)
    assert viewer.layers["prediction"].visible is not shown
    type_key(qtbot, viewer, Qt.Key.Key_U)
    assert viewer.layers["uncertainty"].visible
    type_key(qtbot, viewer, Qt.Key.Key_D)
    assert viewer.layers["confidence"].visible
    type_key(qtbot, viewer, Qt.Key.Key_A)
    assert layer.data.any()
    type_key(qtbot, viewer, Qt.Key.Key_C)
    assert dock.annotate._pill.value() == "complete"
    # With another of our layers active the keys are the same.
    viewer.layers.selection.active = viewer.layers["image"]
    type_key(qtbot, viewer, Qt.Key.Key_C)
    assert dock.annotate._pill.value() == "partial"
    # And after a click on a row of the table.
    dock.cases.table.setFocus()
    qtbot.keyClick(dock.cases.table, Qt.Key.Key_C)
    assert dock.annotate._pill.value() == "complete"


def test_layers_that_are_hidden_stay_hidden_in_the_next_case(labelling, qtbot):
    dock, viewer = labelling, labelling._viewer
    train_to_the_end(qtbot, dock)
    dock.look.toggle_prediction()
    dock.show_case("ben")
    qtbot.waitUntil(lambda: "prediction" in viewer.layers, timeout=5000)
    assert not viewer.layers["prediction"].visible


def test_the_newest_model_looks_at_a_case_when_it_is_shown(labelling, qtbot, runner):
    train_to_the_end(qtbot, labelling)
    labelling.show_case("carl")
    qtbot.waitUntil(lambda: Predict(cases=("carl",)) in runner.sent, timeout=5000)
    qtbot.waitUntil(lambda: not labelling.controller.awaits("predict"), timeout=5000)
    sent = len(runner.sent)
    labelling.show_case("anna")
    labelling.controller._bridge.tick()
    assert not any(isinstance(command, Predict) for command in runner.sent[sent:])


def test_worklist_filter_and_next_undone(labelling, qtbot):
    dock = labelling
    dock.cases._filter.setText("be")
    hidden = [dock.cases.table.isRowHidden(row) for row in range(3)]
    assert hidden == [True, False, True]
    dock.cases._filter.setText("")
    press(qtbot, dock, "case_done")
    assert dock.cases.table.item(0, 1).text() == "done"
    qtbot.mouseClick(dock.cases._next, Qt.MouseButton.LeftButton)
    assert dock.controller.view.case.name == "ben"
    with ProjectStore.open(dock.controller.store.path, read_only=True) as store:
        assert store.setting("done_cases") == ["anna"]


def test_new_project_and_add_images_without_dialogs(dock, volumes, tmp_path, qtbot, monkeypatch):
    dock.controller.new_project(tmp_path / "fresh", ["spleen"])
    names = [str(path) for path in volumes]
    monkeypatch.setattr(QFileDialog, "getOpenFileNames", lambda *a, **k: (names, ""))
    press(qtbot, dock, "add_images")
    qtbot.waitUntil(lambda: dock.cases.table.rowCount() == 3, timeout=5000)
    assert dock.controller.view.case.name == "anna"
    dock.controller.add_class("cyst")
    assert dock.findChild(QPushButton, "class_2").text().endswith("cyst")


def test_an_unreadable_file_is_told_and_changes_nothing(labelling, tmp_path, qtbot, monkeypatch):
    told = []
    monkeypatch.setattr("napari_sslseg.controller.show_error", told.append)
    bad = tmp_path / "bad.nii.gz"
    bad.write_bytes(b"no image")
    labelling.controller.add_images([bad])
    qtbot.waitUntil(lambda: bool(told), timeout=5000)
    assert "bad.nii.gz" in told[0]
    assert labelling.cases.table.rowCount() == 3


def test_a_vanished_image_is_told_and_the_case_on_the_screen_stays(
    labelling, volumes, qtbot, monkeypatch
):
    told = []
    monkeypatch.setattr("napari_sslseg.widgets.guard.show_error", told.append)
    volumes[1].unlink()
    labelling.cases.table.chosen.emit("ben")
    assert "ben" in told[0]
    assert labelling.controller.view.case.name == "anna"
    assert "annotation" in labelling._viewer.layers


def test_the_row_of_a_case_that_cannot_be_shown_does_not_stay_selected(
    labelling, volumes, qtbot, monkeypatch
):
    told = []
    monkeypatch.setattr("napari_sslseg.widgets.guard.show_error", told.append)
    volumes[1].unlink()
    table = labelling.cases.table
    place = table.visualItemRect(table.item(1, 0)).center()
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert "ben" in told[0]
    assert table.selected() == ("anna",)


def test_opening_what_is_no_project_leaves_the_open_one(labelling, tmp_path, qtbot, monkeypatch):
    told = []
    monkeypatch.setattr("napari_sslseg.widgets.guard.show_error", told.append)
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *a, **k: str(tmp_path))
    press(qtbot, labelling, "open_project")
    assert len(told) == 1
    assert labelling.controller.store is not None
    labelling.show_case("carl")


def test_export_asks_what_and_where(labelling, qtbot, runner, tmp_path):
    press(qtbot, labelling, "export")
    dialog = labelling.findChild(ExportDialog)
    dialog.folder.setText(str(tmp_path / "out"))
    dialog.what.setCurrentIndex(dialog.what.findData("annotations"))
    dialog.accept()
    assert runner.sent[-1] == Export(out=str(tmp_path / "out"), format="nifti", what="annotations")


def test_export_has_a_folder_for_each_content_and_says_what_it_would_replace(labelling, qtbot):
    press(qtbot, labelling, "export")
    dialog = labelling.findChild(ExportDialog)
    first = Path(dialog.folder.text())
    assert (dialog.warning.text(), dialog.go.text()) == ("", "Export")
    dialog.what.setCurrentIndex(dialog.what.findData("annotations"))
    assert Path(dialog.folder.text()) not in (first, first.parent)
    first.mkdir(parents=True)
    (first / "anna.nii.gz").write_bytes(b"")
    dialog.what.setCurrentIndex(dialog.what.findData("predictions"))
    assert dialog.folder.text() == str(first)
    assert (dialog.warning.text(), dialog.go.text()) == (NOT_EMPTY, "Export and replace")


def test_a_folder_that_was_typed_stays_whatever_else_is_chosen(labelling, qtbot, tmp_path):
    press(qtbot, labelling, "export")
    dialog = labelling.findChild(ExportDialog)
    dialog.folder.clear()
    qtbot.keyClicks(dialog.folder, str(tmp_path / "mine"))
    dialog.what.setCurrentIndex(dialog.what.findData("annotations"))
    assert dialog.folder.text() == str(tmp_path / "mine")


def test_class_chips_choose_what_the_brush_paints(labelling, qtbot):
    layer = labelling._viewer.layers["annotation"]
    layer.mode = "pan_zoom"
    press(qtbot, labelling, "class_2")
    assert (layer.selected_label, layer.mode) == (2, "paint")
    layer.selected_label = 1  # from napari's own control
    assert labelling.findChild(QPushButton, "class_1").isChecked()


def test_plane_buttons_show_the_same_place(labelling, qtbot):
    view = labelling.controller.view.slices
    view.go_to(Plane.SAGITTAL, 5)
    press(qtbot, labelling, "coronal")
    assert view.plane is Plane.CORONAL
    press(qtbot, labelling, "sagittal")
    assert view.index == 5


@pytest.mark.parametrize("name", ["generated"])
def test_open_sample_docks_the_plugin_with_eight_volumes(
    make_napari_viewer, qtbot, tmp_path, monkeypatch, runner, name
):
    from napari_sslseg import _dock, _samples

    monkeypatch.setattr(_samples, "new_folder", lambda kind: tmp_path / kind)
    monkeypatch.setattr(_dock, "ProcessRunner", lambda: runner)
    monkeypatch.setattr(_dock.SegmentationDock.__init__, "__defaults__", (lambda: runner,))
    viewer = make_napari_viewer(show=True)
    viewer.open_sample("napari-sslseg", name)
    _, dock = viewer.window.add_plugin_dock_widget("napari-sslseg", "SSL Segmentation")
    assert dock.cases.table.rowCount() == 8
    assert "annotation" in viewer.layers
    dock.shut()


def test_buttons_stay_under_the_mouse_when_a_training_shows_its_curves(labelling, qtbot):
    train = labelling.train.train_button
    qtbot.waitUntil(lambda: bool(labelling.controller.queue.items), timeout=3000)
    QApplication.processEvents()
    before = train.mapTo(labelling, train.rect().center())
    press(qtbot, labelling, "train")
    qtbot.waitUntil(lambda: labelling.train.curves.isVisibleTo(labelling), timeout=20000)
    QApplication.processEvents()
    assert train.mapTo(labelling, train.rect().center()) == before


def test_a_project_that_is_opened_again_says_when_it_was_trained(project, tmp_path):
    assert last_training(project) == ""
    save(
        project / "runs" / "20260115-120000-00-a",
        7,
        {"w": np.zeros(1)},
        {"method": "co-training", "step": 7},
    )
    save(
        project / "runs" / "20260115-130000-00-b",
        9,
        {"w": np.zeros(1)},
        {"method": "x", "step": 9, "baseline": True},
    )
    assert last_training(project).startswith("last training: co-training, ")
    assert last_training(project).endswith(", 7 steps")
    assert " Jan " in last_training(project), "as the run's name says, whatever was copied when"
    (project / "runs" / "20260115-120000-00-a").rename(project / "runs" / "the good one")
    assert last_training(project) == "last training: co-training, 7 steps"


def test_the_title_names_the_open_project_and_the_list_says_why_it_is_empty(labelling, tmp_path):
    controller = labelling.controller
    assert labelling._viewer.title == f"SSL Segmentation: {controller.store.path.name}"
    controller.new_project(tmp_path / "second", ["a"])
    assert labelling._viewer.title == "SSL Segmentation: second"
    assert labelling.suggestions.list.item(0).text() == NO_VOLUMES


def test_curves_and_plan_of_a_project_go_with_it(labelling, qtbot, tmp_path):
    train = labelling.train
    press(qtbot, labelling, "train")
    qtbot.waitUntil(lambda: train.curves.isVisibleTo(labelling), timeout=20000)
    qtbot.waitUntil(lambda: not labelling.controller.awaits("train"), timeout=20000)
    labelling.controller.new_project(tmp_path / "second", ["a"])
    assert not train.curves.isVisibleTo(labelling)
    assert train.plan.text() == NO_PLAN
