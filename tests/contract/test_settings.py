"""Every method takes a step with each alternative of each of its settings, in a deep network.

`test_method_steps.py` knows the defaults alone, and networks of two levels.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from engine_worlds import LATE, tiny_plan, tiny_sampler, tiny_trainer

from sslseg.core.config import Parameter, Scalar
from sslseg.methods import find, registry
from sslseg.methods.parameters import parameters_of

SMALL = 16
"""Whole numbers up to this are tried: a bound of more is of memory, not of what is built."""


def alternatives(parameter: Parameter) -> Iterator[Scalar]:
    """All other choices, the other truth value, both bounds of a small whole number."""
    if parameter.type == "bool":
        yield not parameter.default
    elif parameter.type == "int":
        bounds = (parameter.minimum, parameter.maximum)
        yield from (int(b) for b in bounds if b is not None and b <= SMALL)
    else:
        yield from parameter.choices


CASES = [
    (name, {parameter.name: value})
    for name in registry()
    for parameter in parameters_of(find(name).Params, "method")
    for value in alternatives(parameter)
    if value != parameter.default
]
IDS = [f"{name} {key}={value}" for name, settings in CASES for key, value in settings.items()]


def one_step(name: str, **settings: Scalar) -> None:
    dims = 3 if find(name).dimensions == "3d" else 2
    plan = tiny_plan(dims, patch=(8,) * dims, levels=3)
    trainer = tiny_trainer(name, dims, plan=plan, **settings)
    terms = trainer.step(tiny_sampler(trainer.plan), LATE).terms
    assert terms["supervised"] > 0
    assert np.isfinite(list(terms.values())).all()


def test_alternatives_by_hand():
    def found(**of: object) -> list[Scalar]:
        return list(alternatives(Parameter.model_validate({"name": "x", "help": "h", **of})))

    assert found(type="bool", default=True) == [False]
    assert found(type="int", default=2, minimum=1, maximum=6) == [1, 6]
    assert found(type="int", default=512, minimum=1, maximum=65536) == [1]
    assert found(type="str", default="a", choices=("a", "b")) == ["a", "b"]
    assert found(type="float", default=0.5, minimum=0, maximum=1) == []


@pytest.mark.parametrize("name", list(registry()))
def test_a_deep_network_takes_a_step(name):
    one_step(name)


@pytest.mark.parametrize(("name", "settings"), CASES, ids=IDS)
def test_each_alternative_takes_a_step(name, settings):
    one_step(name, **settings)
