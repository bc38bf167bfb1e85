from __future__ import annotations

import importlib.resources
import json

import pytest

from sslseg.core.catalogue import DEFAULT_METHOD, methods
from sslseg.methods import find, registry
from sslseg.methods.catalogue import text
from sslseg.methods.shared import CriticParams, TrainingParams


def test_committed_catalogue_is_what_the_methods_say():
    committed = importlib.resources.files("sslseg.core").joinpath("catalogue.json")
    assert committed.read_text(encoding="utf-8") == text(), (
        "methods or parameters changed: run `python -m sslseg.methods.catalogue` and commit"
    )


@pytest.mark.parametrize("name", list(registry()))
def test_every_parameter_can_be_found(name):
    method = find(name)
    listed = {p.name: p for p in next(m for m in methods() if m.name == name).parameters}
    groups = {"method": method.Params, "training": TrainingParams, "critic": CriticParams}
    expected = {key: g for g, model in groups.items() for key in model.model_fields}
    assert {key: p.group for key, p in listed.items()} == expected
    for key, parameter in listed.items():
        field = groups[parameter.group].model_fields[key]
        assert parameter.default == field.default
        assert parameter.help.endswith("."), f"{key} has no help that a clinician could read"
        assert not parameter.choices or parameter.default in parameter.choices


@pytest.mark.parametrize("name", list(registry()))
def test_every_method_says_what_it_is(name):
    method = find(name)
    assert method.name == name
    assert all((method.family, method.summary, method.source, method.parties))
    assert method.summary.endswith(".")


def test_supervised_comes_first_and_the_default_is_known():
    names = [entry["name"] for entry in json.loads(text())]
    assert names[0] == "supervised"
    assert DEFAULT_METHOD in names
    assert len(set(names)) == len(names)
