"""The settings that overrule the planner, as the form shows them."""

from __future__ import annotations

from qtpy.QtWidgets import QLabel

from napari_sslseg.widgets.parameters import ParameterForm
from sslseg.core.catalogue import methods


def test_what_overrules_the_planner_is_folded_away_and_given_as_typed(qtbot):
    form = ParameterForm()
    qtbot.addWidget(form)
    form.set_method(methods()[0])
    asked = {"patch": 64, "spacing": "0.8", "precision": "single", "looks": 2}
    advanced = {each.name for each in methods()[0].parameters if each.advanced}
    assert asked.keys() <= advanced
    form.set_value(asked)
    assert form.value() == asked
    form.set_value({"patch": 0, "spacing": "auto", "precision": "auto", "looks": 0})
    assert form.value() == {}, "the planner chooses"


def test_advanced_settings_stand_under_what_they_are_about(qtbot):
    form = ParameterForm()
    qtbot.addWidget(form)
    form.set_method(next(each for each in methods() if each.name == "cycada"))
    headings = [each.text() for each in form.findChildren(QLabel, "hint")]
    assert headings == ["This method", "Network and training", "Discriminator"]
