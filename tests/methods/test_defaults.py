"""What docstrings say of defaults is what the parameters are, and none is left out."""

from __future__ import annotations

import inspect

import pytest

from sslseg.methods import registry
from sslseg.methods.base import MethodParams
from sslseg.pretraining import registry as pretexts

COMMON = frozenset(MethodParams.model_fields)
"""What every method has; a docstring may tell it."""

TELLING = [
    learner
    for learner in (*registry().values(), *pretexts().values())
    if learner.Params.model_fields.keys() - COMMON
]


def test_all_but_the_plain_method_have_parameters_of_their_own():
    everything = {*registry(), *pretexts()}
    assert everything - {learner.name for learner in TELLING} == {"supervised"}


@pytest.mark.parametrize("learner", TELLING, ids=lambda learner: learner.name)
def test_docstrings_tell_all_defaults_as_they_are(learner):
    """The last paragraph: "Defaults: name value, name value."."""
    _, mark, told = (inspect.getdoc(learner) or "").partition("Defaults:")
    assert mark, "the docstring has no last paragraph that begins with Defaults:"
    entries = " ".join(told.split()).removesuffix(".").split(", ")
    pairs = dict(entry.split(" ", 1) for entry in entries)
    fields = learner.Params.model_fields
    assert pairs == {name: str(fields[name].default) for name in pairs}
    assert pairs.keys() >= fields.keys() - COMMON
