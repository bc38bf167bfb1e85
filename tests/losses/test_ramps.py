from __future__ import annotations

import math

import pytest
from pydantic import ValidationError

from sslseg.losses.ramps import Ramp, poly


@pytest.mark.parametrize(
    ("shape", "fraction", "expected"),
    [
        ("const", 0.0, 2.0),
        ("const", 1.0, 2.0),
        ("linear", 0.19, 0.0),
        ("linear", 0.2, 0.0),
        ("linear", 0.4, 1.0),
        ("linear", 0.6, 2.0),
        ("linear", 1.0, 2.0),
        ("sigmoid", 0.1, 0.0),
        ("sigmoid", 0.2, 2 * math.exp(-5)),
        ("sigmoid", 0.4, 2 * math.exp(-1.25)),
        ("sigmoid", 0.6, 2.0),
        ("cosine_down", 0.0, 2.0),
        ("cosine_down", 0.2, 2.0),
        ("cosine_down", 0.4, 1.0),
        ("cosine_down", 0.6, 0.0),
        ("cosine_down", 1.0, 0.0),
        ("threshold", 0.199, 0.0),
        ("threshold", 0.2, 2.0),
    ],
)
def test_ramp_by_hand(shape, fraction, expected):
    ramp = Ramp(weight=2.0, start=0.2, length=0.4, shape=shape)
    assert ramp(fraction) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("shape", ["linear", "sigmoid", "threshold"])
def test_a_ramp_without_length_jumps(shape):
    ramp = Ramp(weight=3.0, start=0.5, shape=shape)
    assert [ramp(0.49), ramp(0.5), ramp(1.0)] == [0.0, 3.0, 3.0]


@pytest.mark.parametrize("field", ["start", "length"])
def test_absolute_steps_are_refused(field):
    with pytest.raises(ValidationError, match="less than or equal to 1"):
        Ramp.model_validate({field: 40})


def test_poly_decay_by_hand():
    assert [poly(0.0), poly(1.0), poly(2.0), poly(-1.0)] == [1.0, 0.0, 0.0, 1.0]
    assert poly(0.5) == pytest.approx(0.5**0.9)
    assert poly(0.75, power=2) == pytest.approx(0.0625)
