from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from suggest_worlds import grid

from sslseg.core.features import image_features
from sslseg.core.geometry import Plane
from sslseg.suggest.coldstart import position, spread_slices, typical_order


def test_positions_fill_gaps_from_the_middle():
    found = [position(n, 0.0, 1.0) for n in range(1, 8)]
    assert found == [0.5, 0.25, 0.75, 0.125, 0.625, 0.375, 0.875]


def at(make_case, places, **more):
    return [make_case(n, scored=False, features=np.array([x]), **more) for n, x in places.items()]


def names(cases, wanted):
    order = typical_order(cases, wanted, np.random.default_rng(0))
    return [cases[n].name for n in order]


def test_the_first_case_is_typical_of_its_kind_and_the_larger_kind_comes_first(make_case):
    kinds = {"left": -0.4, "middle": 0.0, "right": 0.5, "far": 10.0, "farther": 10.2, "lone": 40.0}
    found = names(at(make_case, kinds), 3)
    assert found[:3] in (["middle", "far", "lone"], ["middle", "farther", "lone"])
    assert sorted(found) == sorted(kinds)


def test_after_the_typical_ones_each_is_the_farthest_from_all_before(make_case):
    cases = at(make_case, {"a": -1.0, "b": 0.0, "c": 0.9, "d": 9.0, "e": 12.0})
    assert names(cases, 1) == ["c", "e", "d", "a", "b"]


def test_labelled_cases_push_their_like_back(make_case):
    labelled = make_case("l", features=np.array([0.0]), annotated={Plane.AXIAL: (3,)})
    cases = [labelled, *at(make_case, {"alike": 0.1, "other": 5.0})]
    assert names(cases, 1) == ["other", "alike", "l"]


def test_order_without_features_is_a_seeded_draw(make_case):
    cases = [make_case(str(n)) for n in range(20)]
    first, again = (typical_order(cases, 3, np.random.default_rng(5)) for _ in range(2))
    assert first == again
    assert sorted(first) == list(range(20))


@pytest.mark.parametrize("many", [0, 1, 2])
def test_order_of_few_cases(make_case, many):
    cases = at(make_case, {str(n): float(n) for n in range(many)})
    assert sorted(names(cases, 5)) == [str(n) for n in range(many)]


def test_slices_take_planes_in_turn_and_stay_in_the_middle(make_case):
    case = make_case(geometry=grid((101, 51, 11)))
    found = list(islice(spread_slices([case], [0], 3, 0.2, 0.8), 6))
    assert found == [
        (0, Plane.SAGITTAL, 50),
        (0, Plane.CORONAL, 25),
        (0, Plane.AXIAL, 5),
        (0, Plane.SAGITTAL, 35),
        (0, Plane.CORONAL, 18),
        (0, Plane.AXIAL, 3),
    ]


def test_slices_run_out_without_repeating(make_case):
    case = make_case(geometry=grid((3, 4, 2)), annotated={Plane.AXIAL: (0,)})
    found = list(spread_slices([case], [0], 3, 0.2, 0.8))
    assert len(found) == len(set(found)) == 3 + 4 + 1


def test_image_features_by_hand():
    data = np.zeros((10, 10, 10))
    data[5:] = 1
    found = image_features(data, (1.0, 2.0, 0.5))
    assert found[0] == found[15] == 0.5
    assert found[1:15].sum() == 0
    np.testing.assert_allclose(found[16:], np.log([10, 20, 5]), rtol=1e-6)
    assert np.isfinite(image_features(np.zeros((3, 3, 3)), (1, 1, 1))).all()
