from __future__ import annotations

from itertools import islice

import numpy as np
from suggest_worlds import grid

from sslseg.core.features import image_features
from sslseg.core.geometry import Plane
from sslseg.suggest.coldstart import diverse_order, position, spread_slices


def test_positions_fill_gaps_from_the_middle():
    found = [position(n, 0.0, 1.0) for n in range(1, 8)]
    assert found == [0.5, 0.25, 0.75, 0.125, 0.625, 0.375, 0.875]


def test_diverse_order_starts_typical_then_goes_far(make_case):
    places = {"middle": 0.0, "left": -10.0, "right": 13.0, "near": 1.0}
    cases = [make_case(n, scored=False, features=np.array([x])) for n, x in places.items()]
    order = diverse_order(cases, np.random.default_rng(0))
    assert [cases[n].name for n in order] == ["near", "right", "left", "middle"]


def test_labelled_cases_push_their_like_back(make_case):
    labelled = make_case("l", features=np.array([0.0]), annotated={Plane.AXIAL: (3,)})
    alike, other = (make_case(n, features=np.array([x])) for n, x in (("a", 0.1), ("o", 5.0)))
    assert diverse_order([labelled, alike, other], np.random.default_rng(0)) == [2, 1, 0]


def test_order_without_features_is_a_seeded_draw(make_case):
    cases = [make_case(str(n)) for n in range(20)]
    first, again = (diverse_order(cases, np.random.default_rng(5)) for _ in range(2))
    assert first == again
    assert sorted(first) == list(range(20))


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
