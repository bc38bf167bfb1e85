"""What docstrings say of defaults is what the parameters are."""

from __future__ import annotations

import inspect

import pytest

from sslseg.methods import registry
from sslseg.pretraining import registry as pretexts

TELLING = [
    learner
    for learner in (*registry().values(), *pretexts().values())
    if "Defaults:" in (learner.__doc__ or "")
]


def test_several_tell_their_defaults():
    assert {"mean-teacher", "adaptsegnet", "masked"} <= {learner.name for learner in TELLING}


@pytest.mark.parametrize("learner", TELLING, ids=lambda learner: learner.name)
def test_defaults_in_a_docstring_are_true(learner):
    """The last paragraph: "Defaults: name value, name value."."""
    told = (inspect.getdoc(learner) or "").split("Defaults:")[1].strip().removesuffix(".")
    pairs = dict(pair.split() for pair in told.split(","))
    fields = learner.Params.model_fields
    assert pairs == {name: str(fields[name].default) for name in pairs}
