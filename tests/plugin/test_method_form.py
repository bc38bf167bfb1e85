"""What was set in the form is still there after a look at another method."""

from __future__ import annotations

from napari_sslseg.widgets.parameters import ParameterForm
from sslseg.core.catalogue import methods

METHODS = {method.name: method for method in methods()}


def form_of(qtbot, name):
    form = ParameterForm()
    qtbot.addWidget(form)
    form.set_method(METHODS[name])
    return form


def shown(form, name):
    return {k: v for box in form._containers for k, v in box.asdict().items()}[name]


def test_settings_outlast_a_switch_to_another_method_and_back(qtbot):
    form = form_of(qtbot, "bcp")
    asked = {"width": 16, "critic_start": 0.5, "consistency": 0.7}
    form.set_value(asked)
    form.set_method(METHODS["unimatch"])
    assert form.value() == {"width": 16, "critic_start": 0.5}
    assert shown(form, "consistency") == 1.0, "unimatch's own default"
    form.set_value({"consistency": 2.0})
    form.set_method(METHODS["bcp"])
    assert form.value() == asked
    form.set_method(METHODS["unimatch"])
    assert form.value() == asked | {"consistency": 2.0}


def test_what_was_set_back_to_its_default_stays_there(qtbot):
    form = form_of(qtbot, "bcp")
    form.set_value({"width": 16, "consistency": 0.7})
    form.set_method(METHODS["unimatch"])
    form.set_value({"width": 0})
    form.set_method(METHODS["bcp"])
    assert form.value() == {"consistency": 0.7}
    form.set_value({"consistency": 0.5})
    form.set_method(METHODS["bcp"])
    assert form.value() == {}, "the engine told its methods again"
