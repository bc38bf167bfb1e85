"""The layers of the model, the buttons that show them, and what is said of the confidence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from engine_talk import predict, settle, tell
from fake_engine import HEALTH
from napari.utils.colormaps.standardize_color import transform_color
from qtpy.QtWidgets import QPushButton

from napari_sslseg.widgets.review import NOT_PREDICTED
from sslseg.core.events import CriticJudged, RunStarted
from sslseg.core.prediction import CriticHealth


@pytest.fixture
def predicted(labelling, qtbot, runner):
    """The dock with a prediction of the case on the screen."""
    predict(qtbot, labelling, runner)
    return labelling


def test_a_prediction_cannot_be_painted_on_however_often_it_is_refreshed(predicted, qtbot, runner):
    viewer = predicted._viewer
    layer = viewer.layers["prediction"]
    assert not layer.editable
    predict(qtbot, predicted, runner)
    assert viewer.layers["prediction"] is layer
    assert not layer.editable
    viewer.layers.selection.active = layer
    layer.mode = "paint"
    assert layer.mode == "pan_zoom", "napari refuses to paint on what is not editable"


def test_a_class_that_is_added_has_its_colour_and_name_in_the_prediction_too(
    predicted, qtbot, runner
):
    layers = predicted._viewer.layers

    def color(name):
        return np.array(layers[name].colormap.color_dict[3])

    predicted.controller.add_class("cyst")
    cyst = predicted.controller.store.classes[-1]
    assert (cyst.value, cyst.name) == (3, "cyst")
    wanted = transform_color(cyst.color)[0]
    for name in ("annotation", "prediction"):
        np.testing.assert_allclose(color(name), wanted, err_msg=name)
        features = layers[name].features
        named = dict(zip(features["index"], features["class"], strict=True))
        assert named[3] == "cyst", name
    layers.remove("prediction")
    predict(qtbot, predicted, runner)
    np.testing.assert_allclose(color("prediction"), wanted, err_msg="a layer that came later")


@pytest.mark.parametrize("name", ["prediction", "uncertainty", "confidence"])
def test_napari_s_eye_and_the_buttons_agree(predicted, qtbot, runner, name):
    layers, look = predicted._viewer.layers, predicted.look
    button = predicted.findChild(QPushButton, f"show_{name}")
    before = layers[name].visible
    assert button.isChecked() is before
    layers[name].visible = not before  # what a click on the eye does
    assert button.isChecked() is not before
    getattr(look, f"toggle_{name}")()
    assert layers[name].visible is before, "one key is enough"
    assert button.isChecked() is before
    layers[name].visible = not before
    assert look._below.isVisibleTo(look) is layers["confidence"].visible
    predicted.show_case("ben")
    predict(qtbot, predicted, runner, "ben")
    assert layers[name].visible is not before, "and the next case is as the eye left this one"


def test_confidence_is_judged_by_the_method_s_critic_not_the_baseline_s(
    predicted, runner, monkeypatch
):
    def judged(run, baseline):
        began = RunStarted(
            run=run,
            method="any",
            device="cpu",
            plan=(),
            steps=3,
            minutes=None,
            baseline=baseline,
        )
        health = CriticHealth(auc=0.7, healthy=True, words=f"Critic of {run}.")
        tell(predicted, runner, monkeypatch, began, CriticJudged(run=run, step=3, health=health))
        return predicted.look._critic.text()

    assert predicted.look._critic.text() == HEALTH.words
    assert judged("baseline", True) == HEALTH.words
    assert judged("method", False) == "Critic of method."


def test_nothing_is_said_of_the_confidence_of_a_case_without_a_prediction(predicted, qtbot):
    words = predicted.look._critic
    assert words.text() == HEALTH.words
    predicted.show_case("ben")
    assert words.text() == NOT_PREDICTED
    predicted.show_case("anna")
    qtbot.waitUntil(lambda: words.text() == HEALTH.words, timeout=5000)


def test_a_prediction_that_was_replaced_before_it_was_read_is_no_damage(
    labelling, qtbot, runner, monkeypatch
):
    told = []
    monkeypatch.setattr("napari_sslseg.controller.show_error", told.append)
    controller = labelling.controller
    settle(qtbot, labelling)
    late, _, newest = (runner._predict("anna") for _ in range(3))
    assert not Path(late.folder).exists(), "two are kept"
    controller._follow(late)
    qtbot.waitUntil(lambda: not controller.background.busy, timeout=5000)
    assert not told
    (Path(newest.folder) / "labels.npy").write_bytes(b"")
    controller._follow(newest)
    qtbot.waitUntil(lambda: not controller.background.busy, timeout=5000)
    assert told
    assert "damaged" in told[0]
