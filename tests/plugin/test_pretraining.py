"""Learning from images first, as the dock asks for it."""

from __future__ import annotations

import pytest
from strokes import press

from sslseg.core.catalogue import pretraining_methods
from sslseg.core.commands import Pretrain
from sslseg.core.config import TrainRequest


def choose(combo, name: str) -> None:
    combo.setCurrentIndex(combo.findData(name))


def asked(labelling, qtbot, runner) -> TrainRequest:
    """Press the button and return what the engine was asked for."""
    qtbot.waitUntil(labelling.train.pretrain_button.isEnabled, timeout=20000)
    press(qtbot, labelling, "pretrain")
    sent = runner.sent[-1]
    assert isinstance(sent, Pretrain)
    return sent.request


def test_settings_of_each_way_are_set_in_a_form_and_sent(labelling, qtbot, runner):
    train = labelling.train
    assert not train.pretrain_form.isVisible()
    press(qtbot, labelling, "pretrain_how")
    qtbot.waitUntil(train.pretrain_form.isVisible, timeout=3000)
    train.pretrain_form.set_value({"share": 0.4})
    assert asked(labelling, qtbot, runner).settings == {"share": 0.4}
    choose(train.pretrain_method, "jigsaw")
    train.pretrain_form.set_value({"tiles": 4, "gap": 0.1})
    train.form.set_value({"context": 3})
    assert asked(labelling, qtbot, runner).settings == {"context": 3, "tiles": 4, "gap": 0.1}
    choose(train.pretrain_method, "contrastive")
    train.pretrain_form.set_value({"strategy": "views"})
    assert asked(labelling, qtbot, runner).settings == {"context": 3, "strategy": "views"}
    press(qtbot, labelling, "pretrain_how")
    assert not train.pretrain_form.isVisible()


@pytest.mark.parametrize("info", pretraining_methods(), ids=lambda info: info.name)
def test_every_setting_of_a_way_has_its_field_at_its_default(labelling, info):
    choose(labelling.train.pretrain_method, info.name)
    form = labelling.train.pretrain_form
    assert form.value() == {}
    names = {name for container in form._containers for name in container.asdict()}
    assert names == {each.name for each in info.parameters}


def test_what_a_way_does_stands_above_its_settings(labelling, qtbot):
    train = labelling.train
    press(qtbot, labelling, "pretrain_how")
    for info in pretraining_methods():
        choose(train.pretrain_method, info.name)
        assert train.pretrain_summary.text() == info.summary
        assert train.pretrain_summary.isVisible()


@pytest.mark.parametrize("method", ["cross-teaching", "multi-view"])
def test_before_a_method_of_boxes_boxes_are_learnt(labelling, qtbot, runner, method):
    choose(labelling.train.method, method)
    assert asked(labelling, qtbot, runner).settings == {"dimensions": "3d"}
    choose(labelling.train.method, "bcp")
    assert asked(labelling, qtbot, runner).settings == {}
