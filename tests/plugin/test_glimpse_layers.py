"""Slices of a case on the screen that show what a model in training says."""

from __future__ import annotations

import numpy as np
import pytest
from engine_talk import let_glimpse, predict, settle
from qtpy.QtWidgets import QPushButton

from sslseg.core.annotation import SliceKey
from sslseg.core.commands import ShowCase
from sslseg.core.geometry import Plane
from sslseg.core.prediction import Glimpse


@pytest.fixture
def opened(labelling, qtbot):
    settle(qtbot, labelling)
    return labelling


def glimpse(dock, first=4, slices=3, case="anna", value=2):
    """A square of class 2 on axial slices."""
    sides = dock.controller.view.case.geometry.slice_shape(Plane.AXIAL)
    labels = np.zeros((slices, *sides), np.uint8)
    labels[:, 3:7, 2:9] = value
    return Glimpse(case, Plane.AXIAL, first, labels)


def at(dock, name, index):
    return np.asarray(dock._viewer.layers[name].data)[:, :, index]


def caption(dock):
    viewer = dock._viewer
    canvas = getattr(viewer, "canvas", None)
    return (viewer.text_overlay if canvas is None else canvas.overlays.text).text


def test_slices_are_shown_and_accepted_before_there_is_any_prediction(opened, tmp_path, qtbot):
    dock, view = opened, opened.controller.view
    accept = dock.findChild(QPushButton, "accept_prediction")
    view.slices.go_to(Plane.AXIAL, 5)
    assert not accept.isEnabled()
    said = glimpse(dock)
    let_glimpse(dock, tmp_path / "s.npz", said)
    for number in range(3):
        np.testing.assert_array_equal(at(dock, "prediction", 4 + number), said.labels[number])
    assert not at(dock, "prediction", 3).any()
    assert not at(dock, "prediction", 7).any()
    layer = dock._viewer.layers["prediction"]
    assert not layer.editable
    np.testing.assert_allclose(layer.scale, dock._viewer.layers["image"].scale)
    assert caption(dock).endswith("preview")
    assert accept.isEnabled()
    assert view.accept() == 4 * 7
    np.testing.assert_array_equal(at(dock, "annotation", 5), said.labels[1])
    view.slices.go_to(Plane.AXIAL, 7)
    assert not accept.isEnabled(), "nobody has said anything of this slice"
    assert "preview" not in caption(dock)
    assert view.accept() == 0


def test_all_other_slices_keep_what_was_predicted_until_the_whole_case_is(
    opened, tmp_path, qtbot, runner
):
    dock, view = opened, opened.controller.view
    predict(qtbot, dock, runner)
    whole = view.prediction.labels.copy()
    let_glimpse(dock, tmp_path / "s.npz", glimpse(dock))
    assert not np.array_equal(at(dock, "prediction", 5), whole[:, :, 5])
    for index in (3, 7):
        np.testing.assert_array_equal(at(dock, "prediction", index), whole[:, :, index])
    np.testing.assert_array_equal(view.prediction.labels, whole)
    view.slices.go_to(Plane.AXIAL, 7)
    assert view.accept() == np.count_nonzero(whole[:, :, 7])
    predict(qtbot, dock, runner)
    np.testing.assert_array_equal(dock._viewer.layers["prediction"].data, whole)
    assert "preview" not in caption(dock)
    view.slices.go_to(Plane.AXIAL, 5)
    view.accept()
    np.testing.assert_array_equal(at(dock, "annotation", 5), whole[:, :, 5])


def test_what_is_accepted_is_what_is_shown_however_often_slices_came(
    opened, tmp_path, qtbot, runner
):
    dock, view = opened, opened.controller.view
    let_glimpse(dock, tmp_path / "s.npz", glimpse(dock, first=2))
    let_glimpse(dock, tmp_path / "s.npz", glimpse(dock, first=8, value=1))
    view.slices.go_to(Plane.AXIAL, 3)
    assert view.accept() == 4 * 7, "of the first look"
    predict(qtbot, dock, runner)
    let_glimpse(dock, tmp_path / "s.npz", glimpse(dock, first=8))
    view.slices.go_to(Plane.CORONAL, 5)
    shown = np.asarray(dock._viewer.layers["prediction"].data)[:, 5].copy()
    assert (shown[3:7, 8:11] == 2).all(), "the slices show as lines across"
    free = np.asarray(dock._viewer.layers["annotation"].data)[:, 5] == 0
    assert view.accept() == np.count_nonzero(shown * free)


def test_a_slice_that_shows_no_whole_prediction_says_nothing_of_one(
    opened, tmp_path, qtbot, runner, project
):
    """Neither in the history nor in the curve of corrections."""
    dock, view = opened, opened.controller.view
    predict(qtbot, dock, runner)
    version = view.prediction.info.version
    let_glimpse(dock, tmp_path / "s.npz", glimpse(dock))
    store = dock.controller.store
    places = [(Plane.AXIAL, 5, ""), (Plane.AXIAL, 7, version), (Plane.CORONAL, 8, "")]
    for plane, index, model in places:
        view.slices.go_to(plane, index)
        assert view.accept()
        view.flush()
        key = SliceKey(case="anna", plane=plane, index=index)
        assert store.history(key)[0].model == model


def test_slices_that_do_not_fit_the_case_are_not_shown(opened, tmp_path):
    let_glimpse(opened, tmp_path / "s.npz", glimpse(opened, first=10_000))
    assert "prediction" not in opened._viewer.layers


def test_slices_of_another_case_are_not_shown(opened, tmp_path):
    let_glimpse(opened, tmp_path / "s.npz", glimpse(opened, case="ben"))
    assert "prediction" not in opened._viewer.layers
    assert "preview" not in caption(opened)


def test_another_case_begins_without_them(opened, tmp_path):
    let_glimpse(opened, tmp_path / "s.npz", glimpse(opened))
    opened.show_case("ben")
    assert "prediction" not in opened._viewer.layers
    assert "preview" not in caption(opened)
    opened.controller.view.slices.go_to(Plane.AXIAL, 5)
    assert opened.controller.view.accept() == 0


def test_keys_work_in_a_layer_that_came_with_them(opened, tmp_path, qtbot):
    let_glimpse(opened, tmp_path / "s.npz", glimpse(opened))
    layer = opened._viewer.layers["prediction"]
    assert {str(key) for key in layer.keymap} >= {"A", "N", "C"}


def test_the_engine_is_told_which_slice_is_on_the_screen_once(opened, runner, qtbot):
    def told():
        return [command for command in runner.sent if isinstance(command, ShowCase)]

    slices = opened.controller.view.slices
    slices.go_to(Plane.CORONAL, 6)
    opened.controller._bridge.tick()
    opened.controller._bridge.tick()
    assert told()[-1] == ShowCase(case="anna", plane=Plane.CORONAL, index=6)
    assert told().count(told()[-1]) == 1
    opened.show_case("ben")
    assert told()[-1].case == "ben"
    assert told()[-1].plane is Plane.CORONAL
