"""What tells the clinician how far she has come: corrections, the baseline, simulations."""

from __future__ import annotations

import numpy as np
import pytest
from fake_engine import ball_labels
from qtpy.QtCore import QPointF, Qt
from qtpy.QtWidgets import QCheckBox, QDialogButtonBox, QLabel, QPushButton

from napari_sslseg.widgets.activity import activity_bar
from napari_sslseg.widgets.curves import IN_KNOWN, OF_SOURCE, PLUS_MINUS
from napari_sslseg.widgets.simulate import SimulateDialog, usual_request
from sslseg.core.annotation import SliceKey, SliceState
from sslseg.core.catalogue import DEFAULT_METHOD
from sslseg.core.commands import Simulate
from sslseg.core.events import CommandDone, RunFinished, Validated
from sslseg.core.geometry import Plane, take_slice
from sslseg.storage.seen import keep_seen, seen
from sslseg.storage.store import ProjectStore

SHAPE = (24, 20, 16)
BALL = ball_labels(SHAPE)


def press(qtbot, dock, name):
    button = dock.findChild(QPushButton, name)
    assert button.isEnabled(), name
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def told_until(qtbot, dock, kind, count=1):
    told = []
    dock.controller.told.connect(told.append)
    return lambda: qtbot.waitUntil(
        lambda: sum(isinstance(event, kind) for event in told) >= count, timeout=20000
    )


def predict(dock, runner, qtbot, case="anna"):
    """Let the engine predict a ball in a case and show it."""
    qtbot.waitUntil(lambda: not dock.controller.awaits("open"), timeout=5000)
    before = dock.controller.view.prediction
    runner._project = dock.controller.store.path
    event = runner._predict(case)
    dock.controller._follow(event)
    qtbot.waitUntil(lambda: dock.controller.view.prediction is not before, timeout=5000)
    return event.version


def paint(dock, plane, index, labels, complete=True):
    """Paint `labels` (H, W) into a slice, as one stroke, and mark it complete."""
    view = dock.controller.view
    view.slices.set_plane(plane)
    view.slices.go_to(plane, index)
    take_slice(view.layers.annotation.data, plane, index)[...] = labels
    view.flush()
    if complete:
        view.toggle_complete()


def points(dock, qtbot, count):
    qtbot.waitUntil(lambda: len(dock.train.corrections.value()) == count, timeout=5000)
    return dock.train.corrections.value()


# ---- corrections ----


def test_each_labelled_slice_is_a_point_with_the_dice_of_the_prediction_before(
    labelling, qtbot, runner
):
    """The ball is right in axial slice 7; of slice 8 half of class 1 is painted only."""
    dock = labelling
    predict(dock, runner, qtbot)
    paint(dock, Plane.AXIAL, 7, BALL[:, :, 7])
    half = BALL[:, :, 8].copy()
    half[12:] = 0
    paint(dock, Plane.AXIAL, 8, half)
    first, second = points(dock, qtbot, 2)
    assert (first.key, first.dice, first.complete) == (key(7), 1.0, True)
    twice = 2 * np.array([(half == value).sum() for value in (1, 2)])
    sizes = [(half == value).sum() + (BALL[:, :, 8] == value).sum() for value in (1, 2)]
    assert second.dice == pytest.approx(np.mean(twice / sizes))
    assert dock.train.corrections.isVisibleTo(dock)
    mean = (1 + second.dice) / 2
    assert f"Dice {mean:.2f} ±" in dock.train.corrections.label.text()
    assert "only n = 2" in dock.train.corrections.label.text()


def test_an_empty_slice_that_was_predicted_empty_counts_as_right(labelling, qtbot, runner):
    assert not BALL[:, :, 0].any()
    predict(labelling, runner, qtbot)
    paint(labelling, Plane.AXIAL, 0, BALL[:, :, 0])
    (point,) = points(labelling, qtbot, 1)
    assert (point.key, point.dice, point.complete) == (key(0), 1.0, True)


def test_the_prediction_counts_that_was_there_at_the_first_stroke(
    labelling, qtbot, runner, project
):
    """Later ones learnt from the strokes; the early one is gone from its folder by then."""
    dock = labelling
    version = predict(dock, runner, qtbot)
    paint(dock, Plane.AXIAL, 7, np.where(BALL[:, :, 7] == 1, 1, 0), complete=False)
    (point,) = points(dock, qtbot, 1)
    assert not point.complete
    for _ in range(3):
        predict(dock, runner, qtbot)
    assert not (project / "predictions" / "anna" / version).exists()
    dock.controller.view.toggle_complete()
    qtbot.waitUntil(lambda: dock.train.corrections.value()[0].complete, timeout=5000)
    with ProjectStore.open(project, read_only=True) as store:
        assert store.history(key(7))[0].model == version
    assert np.array_equal(seen(project, key(7), version), BALL[:, :, 7])


def test_a_slice_that_was_labelled_before_any_prediction_is_no_point(labelling, qtbot, runner):
    dock = labelling
    paint(dock, Plane.AXIAL, 7, BALL[:, :, 7])
    predict(dock, runner, qtbot)
    paint(dock, Plane.AXIAL, 7, np.zeros((24, 20), np.uint8), complete=False)
    paint(dock, Plane.CORONAL, 9, BALL[:, 9])
    (point,) = points(dock, qtbot, 1)
    assert point.key.plane is Plane.CORONAL


def test_a_slice_that_is_wiped_is_a_point_no_more(labelling, qtbot, runner):
    dock = labelling
    predict(dock, runner, qtbot)
    paint(dock, Plane.AXIAL, 7, BALL[:, :, 7], complete=False)
    points(dock, qtbot, 1)
    paint(dock, Plane.AXIAL, 7, np.zeros((24, 20), np.uint8), complete=False)
    points(dock, qtbot, 0)
    assert not dock.train.corrections.isVisibleTo(dock)


def test_a_click_on_a_point_shows_its_slice(labelling, qtbot, runner):
    dock = labelling
    predict(dock, runner, qtbot)
    paint(dock, Plane.AXIAL, 5, BALL[:, :, 7])
    paint(dock, Plane.CORONAL, 9, BALL[:, 9])
    found = points(dock, qtbot, 2)
    dock.show_case("ben")
    widget = dock.train.corrections
    qtbot.waitUntil(lambda: widget.plot.isVisible() and widget.plot.width() > 60, timeout=5000)
    box = widget.plot.getPlotItem().getViewBox()
    qtbot.waitUntil(lambda: box.viewRange()[0][1] > 2, timeout=5000)  # drawn with both points
    place = widget.plot.mapFromScene(box.mapViewToScene(QPointF(2, found[1].dice)))
    qtbot.mouseMove(widget.plot.viewport(), place)
    qtbot.mouseClick(widget.plot.viewport(), Qt.MouseButton.LeftButton, pos=place)
    view = dock.controller.view
    qtbot.waitUntil(lambda: view.case.name == "anna", timeout=5000)
    assert (view.slices.plane, view.slices.index) == (Plane.CORONAL, 9)


def test_the_points_are_there_again_when_the_project_is_opened(labelling, qtbot, runner, project):
    dock = labelling
    predict(dock, runner, qtbot)
    paint(dock, Plane.AXIAL, 7, BALL[:, :, 7])
    before = points(dock, qtbot, 1)
    for _ in range(2):
        predict(dock, runner, qtbot)
    dock.open_project(project)
    assert points(dock, qtbot, 1) == before


def key(index, plane=Plane.AXIAL):
    return SliceKey(case="anna", plane=plane, index=index)


def test_what_was_seen_is_kept_once_and_a_damaged_file_is_no_answer(tmp_path):
    labels = BALL[:, :, 7]
    assert seen(tmp_path, key(7), "v1") is None
    keep_seen(tmp_path, key(7), "v1", labels)
    keep_seen(tmp_path, key(7), "v2", 0 * labels)
    assert np.array_equal(seen(tmp_path, key(7), "v1"), labels)
    assert seen(tmp_path, key(7), "v2") is None
    (file,) = (tmp_path / "seen" / "anna").iterdir()
    file.write_bytes(file.read_bytes().replace(b"v1", b"v3"))
    assert seen(tmp_path, key(7), "v3") is None


def test_seen_falls_back_on_the_prediction_itself(labelling, qtbot, runner, project):
    version = predict(labelling, runner, qtbot)
    assert np.array_equal(seen(project, key(7), version), BALL[:, :, 7])
    with ProjectStore.open(project, read_only=True) as store:
        assert not any(record.state is SliceState.COMPLETE for record in store.slices())


# ---- the baseline ----


def test_a_baseline_is_shown_beside_the_method(labelling, qtbot, runner):
    dock = labelling
    ended = told_until(qtbot, dock, CommandDone)
    box = dock.findChild(QCheckBox, "compare")
    qtbot.mouseClick(box, Qt.MouseButton.LeftButton)
    finished = told_until(qtbot, dock, RunFinished, 2)
    press(qtbot, dock, "train")
    finished()
    ended()
    assert runner.sent[-1].request.baseline
    curves = dock.train.curves
    words = dock.findChild(QLabel, "comparison")
    qtbot.waitUntil(lambda: words.isVisibleTo(dock), timeout=5000)
    assert "mean-teacher: Dice 0.80 ± 0.05 (only n = 2)" in words.text()
    assert "Supervised alone: Dice 0.70 ± 0.05 (only n = 2)" in words.text()
    assert curves.points("baseline") == ([3], [0.7])
    assert curves.points("auc")[0] == [runner.steps], "nor is its critic"
    assert max(curves.points("supervised")[1]) < 2, "the baseline's losses are not mixed in"
    assert "U-Net" in dock.train.plan.text()


def test_the_comparison_says_what_it_needs(labelling):
    tip = " ".join(labelling.findChild(QCheckBox, "compare").toolTip().split())
    for words in ("before you press Train", "not stopped", "from the fourth labelled slice on"):
        assert words in tip


def test_supervised_is_not_offered_to_be_compared_with_itself(labelling):
    train = labelling.train
    train.compare.setChecked(True)
    train.method.setCurrentIndex(train.method.findData("supervised"))
    assert not train.compare.isEnabled()
    assert not train.value().baseline


def test_the_held_out_figure_is_never_bare(labelling, qtbot):
    curves = labelling.train.curves
    curves.reset()
    label = curves._dice_label
    for without, words in (
        ((0.7, 0.9), "Dice 0.80 ± 0.10 (only n = 2)"),
        ((0.8,), "Dice 0.80 ± ? (only n = 1)"),
        ((0.78, 0.8, 0.8, 0.82), "(n = 4)"),
    ):
        slices = len(without)
        event = Validated(run="r", step=1, dice={}, mean=0.8, slices=slices, without=without)
        curves.add_validation(event)
        assert words in label.text()
        assert PLUS_MINUS in label.toolTip()
    assert IN_KNOWN not in label.toolTip()
    curves.add_validation(event.model_copy(update={"known": True}))
    assert "(n = 4, known volumes)" in label.text()
    assert IN_KNOWN in label.toolTip()
    assert OF_SOURCE not in label.toolTip()
    curves.add_validation(event.model_copy(update={"source": True}))
    assert OF_SOURCE in label.toolTip()
    assert "before small islands are erased" in label.toolTip()
    assert "over cases where there are three or more, else over slices" in PLUS_MINUS
    curves.add_validation(Validated(run="r", step=1, dice={}, mean=None, slices=0))
    assert "Dice not measured" in label.text()
    assert "train for longer" in label.toolTip()


# ---- simulations ----


def ask(qtbot, dock, tmp_path, rounds=3):
    press(qtbot, dock, "simulate")
    dialog = dock.findChild(SimulateDialog)
    dialog.labels.setText(str(tmp_path / "truth"))
    dialog.rounds.setValue(rounds)
    dialog.accept()


def test_a_simulation_is_asked_for_and_its_curves_are_shown(labelling, qtbot, runner, tmp_path):
    dock = labelling
    qtbot.waitUntil(lambda: not dock.controller.awaits("open", "suggest"), timeout=5000)
    assert not dock.simulation.isVisibleTo(dock)
    ask(qtbot, dock, tmp_path)
    command = runner.sent[-1]
    assert isinstance(command, Simulate)
    asked = command.request
    assert asked.labels == str(tmp_path / "truth")
    assert (asked.rounds, asked.slices, asked.strategies) == (3, 8, ("auto", "equal"))
    assert (asked.train.minutes, asked.last_minutes) == (1.0, 4.0)
    assert asked.holdout is None, "as many as the number of labelled cases asks for"
    assert not dock.train.train_button.isEnabled()
    assert dock.train.stop_button.isEnabled()
    qtbot.waitUntil(lambda: not dock.controller.awaits("simulate"), timeout=5000)
    assert dock.simulation.isVisibleTo(dock)
    first, second = (line.getData() for line in dock.simulation.lines["slices"])
    assert [list(each) for each in first] == [[8, 16, 24], pytest.approx([0.1, 0.2, 0.3])]
    assert list(second[1]) == pytest.approx([0.2, 0.4, 0.6])
    assert list(dock.simulation.lines["minutes"][0].getData()[0]) == [1.5, 3.0, 4.5]
    assert "6 of 6" in dock.simulation.label.text()
    assert f"{DEFAULT_METHOD}, equal" in dock.simulation.legend.text()
    assert dock.train.train_button.isEnabled()


def test_its_curves_come_into_sight_below_the_rest(labelling, qtbot, tmp_path):
    dock = labelling
    qtbot.waitUntil(lambda: not dock.controller.awaits("open", "suggest"), timeout=5000)
    window = dock.window()
    window.resize(window.width(), 600)
    ask(qtbot, dock, tmp_path)
    qtbot.waitUntil(lambda: not dock.controller.awaits("simulate"), timeout=5000)

    def in_sight():
        shown = dock.simulation.visibleRegion().boundingRect().height()
        return shown > 0.9 * dock.simulation.height()

    qtbot.waitUntil(in_sight, timeout=5000)
    assert dock._scroll.verticalScrollBar().value() > 0, "they lie below what was in sight"


def test_what_was_asked_for_is_offered_again(labelling, qtbot, runner, tmp_path):
    """Only the same request goes on where it was, and nobody remembers nine fields."""
    dock = labelling
    qtbot.waitUntil(lambda: not dock.controller.awaits("open", "suggest"), timeout=5000)
    ask(qtbot, dock, tmp_path)
    asked = runner.sent[-1].request
    qtbot.waitUntil(lambda: not dock.controller.awaits("simulate"), timeout=5000)
    press(qtbot, dock, "simulate")
    again = dock.findChildren(SimulateDialog)[-1]
    assert again.value() == asked
    again.reject()


def test_without_a_method_nothing_is_simulated(qapp, tmp_path):
    dialog = SimulateDialog(usual_request(tmp_path))
    go = dialog.buttons.button(QDialogButtonBox.StandardButton.Ok)
    assert go.isEnabled()
    ticked = [dialog.methods.item(row) for row in range(dialog.methods.count())]
    for item in ticked:
        item.setCheckState(Qt.CheckState.Unchecked)
    assert not go.isEnabled()
    ticked[0].setCheckState(Qt.CheckState.Checked)
    assert go.isEnabled()
    dialog.deleteLater()


def test_labels_beside_the_images_are_offered(labelling, qtbot):
    """The sample's lie there, and those of most published data sets."""
    dock = labelling
    qtbot.waitUntil(lambda: not dock.controller.awaits("open", "suggest"), timeout=5000)
    store = dock.controller.store
    images = (store.path / store.cases()[0].source).resolve().parent
    labels = images.parent / "labels"
    labels.mkdir(exist_ok=True)
    press(qtbot, dock, "simulate")
    dialog = dock.findChild(SimulateDialog)
    assert dialog.labels.text() == str(labels)
    dialog.reject()


def test_a_simulation_can_be_stopped(labelling, qtbot, runner, tmp_path):
    dock = labelling
    qtbot.waitUntil(lambda: not dock.controller.awaits("open", "suggest"), timeout=5000)
    ask(qtbot, dock, tmp_path, rounds=500)
    qtbot.waitUntil(lambda: dock.simulation.isVisibleTo(dock), timeout=5000)
    press(qtbot, dock, "stop")
    qtbot.waitUntil(lambda: not dock.controller.awaits("simulate"), timeout=5000)
    assert "simulation ended" in dock.train.bar.format()
    assert dock.findChild(QPushButton, "simulate").isEnabled()


def test_napari_s_spinner_does_not_have_the_window_composed_33_times_a_second(labelling, qtbot):
    bar = activity_bar("training")
    try:
        window = labelling.controller.view.layers._viewer.window._qt_window
        movies = [m for m in (label.movie() for label in window.findChildren(QLabel)) if m]
        assert movies
        assert all(movie.speed() <= 10 for movie in movies)
    finally:
        bar.close()
