"""What previews and validations cost, against networks whose windows take a known time."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from engine_worlds import CPU, record

from sslseg.core.geometry import Plane
from sslseg.data.held_out import HeldOutSlice
from sslseg.data.sampling import TrainingCase
from sslseg.inference.predictor import Predictor
from sslseg.training.costs import WRITTEN, Costs
from sslseg.training.loop import VALIDATION_SHARE

OWN = (None, None, None)
CT = (512, 512, 300)
ACROSS = 16
"""Windows of 192 x 192, a quarter shared, across 512 x 512."""


@dataclass(frozen=True, kw_only=True)
class Slow(Predictor):
    """An axial network whose windows take so many seconds; counts how often it was timed."""

    each: float
    timed: list[int] = field(default_factory=list)

    def window_seconds(self) -> float:
        self.timed.append(1)
        return self.each


def slow(each: float) -> Slow:
    return Slow(lambda x: [x], None, 4, 2, 5, (192, 192), CPU.torch, None, each=each)


def held(indices, plane=Plane.AXIAL, shape=CT, case="a") -> list[HeldOutSlice]:
    volume = np.broadcast_to(np.float16(0), shape)
    return [HeldOutSlice(TrainingCase(case, volume, None), plane, i, unread) for i in indices]


def unread() -> None:
    pytest.fail("a slice was read to tell what it costs")


def test_a_preview_of_a_ct_takes_all_its_windows():
    predictor, costs = slow(0.5), Costs(4.0)
    seconds = costs.preview(predictor, record("a", CT), OWN)
    assert seconds == pytest.approx(300 * ACROSS * 0.5 + 4 * np.prod(CT) / WRITTEN)
    assert costs.preview(predictor, record("a", CT), OWN) == seconds
    assert len(predictor.timed) == 1, "asking again costs nothing"
    coarse = costs.preview(predictor, record("b", CT), (2.0, 2.0, None))
    written = 4 * np.prod(CT) / WRITTEN
    assert coarse - written == pytest.approx((seconds - written) / 4), "256 x 256: four windows"


@pytest.mark.parametrize(("each", "expected"), [(0.01, 6), (0.5, 3), (1.4, 1), (30.0, 0)])
def test_a_validation_measures_what_a_tenth_of_the_run_can_pay(each, expected):
    costs, slices, predictor = Costs(4.0), held(range(20, 200, 30)), slow(each)
    seconds = costs.validation(predictor, slices)
    assert len(costs.measured(predictor, slices)) == expected
    assert seconds == pytest.approx(expected * ACROSS * each)
    assert seconds <= VALIDATION_SHARE * 240
    fewer = [one.index for one in costs.measured(predictor, slices)]
    assert [one.index for one in costs.measured(slow(9.0), slices)] == fewer, "all along the run"


def test_a_slice_across_the_networks_own_costs_the_windows_around_it():
    costs, predictor = Costs(60.0), slow(0.01)
    (across,) = held([100], Plane.SAGITTAL)
    assert costs.validation(predictor, [across]) == pytest.approx(300 * 4 * 0.01)


def test_slices_of_a_case_cost_no_more_than_the_case():
    costs, predictor = Costs(60.0), slow(0.001)
    every = held(range(64), Plane.SAGITTAL, (64, 64, 40))
    assert costs.validation(predictor, every) == pytest.approx(40 * 0.001)


def test_fixed_steps_measure_the_same_on_every_computer():
    costs, slices = Costs(None), held(range(6))
    predictor = slow(1000.0)
    assert costs.validation(predictor, slices) == 0
    assert costs.measured(predictor, slices) == slices
    assert predictor.timed == []


@pytest.mark.parametrize("each", [0.01, 30.0])
def test_a_run_to_compare_with_measures_the_same_slices_however_slow_it_is(each):
    slices, predictor = held(range(20, 200, 30)), slow(0.5)
    first = Costs(4.0)
    first.validation(predictor, slices)
    names = [one.name for one in first.measured(predictor, slices)]
    assert 0 < len(names) < len(slices)
    other = Costs(4.0, names)
    other.validation(slow(each), slices)
    assert [one.name for one in other.measured(slow(each), slices)] == names


def test_a_slice_that_is_first_held_out_during_the_run_is_measured_as_far_as_there_is_time():
    costs, predictor = Costs(4.0), slow(0.5)
    assert costs.validation(predictor, []) == 0
    assert costs.measured(predictor, []) == []
    assert predictor.timed == [], "nothing to measure"
    slices = held(range(20, 200, 30))
    for _ in range(2):
        assert len(costs.measured(predictor, slices)) == 3
    assert len(predictor.timed) == 1
