from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from suggest_worlds import grid

from sslseg.core.features import image_features
from sslseg.core.geometry import Plane
from sslseg.suggest.coldstart import typical_order
from sslseg.suggest.planes import main_plane
from sslseg.suggest.selection import rank
from sslseg.suggest.spread import position, spread_slices


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


def by_all_distances(points, fresh, started, first):
    """The farthest from all before, each time from every distance anew."""
    left, order = [row for row in fresh if row not in first], [*started, *first]
    found = []
    while left:
        near = points[order] if order else points.mean(axis=0, keepdims=True)
        gaps = np.linalg.norm(points[left][:, None] - near[None], axis=-1).min(axis=1)
        found.append(left.pop(int(gaps.argmax())))
        order.append(found[-1])
    return found


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("wanted", [0, 4])
def test_running_distances_choose_what_all_distances_choose(make_case, seed, wanted):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(40, 7))
    points[30:] = points[:10]  # alike, so that some are equally far
    started = rng.permutation(40)[: 3 * (seed % 2)].tolist()
    drawn = {n: {Plane.AXIAL: (3,)} for n in started}
    cases = [
        make_case(str(n), scored=False, features=row, annotated=drawn.get(n))
        for n, row in enumerate(points)
    ]
    order = typical_order(cases, wanted, rng)
    first = order[:wanted]
    fresh = [n for n in range(40) if n not in started]
    scaled = (points - points.mean(axis=0)) / points.std(axis=0)
    rest = by_all_distances(scaled, fresh, sorted(started), first)
    assert order == [*first, *rest, *sorted(started)]


def test_only_the_cases_asked_for_are_ordered_but_all_tell_of_kinds(make_case):
    """The largest kind has nobody to ask for, the next one has a labelled case."""
    places = {"a": 0.0, "b": 0.1, "c": 0.2, "d": 9.0, "e": 9.1, "f": 30.0, "g": 31.0}
    cases = at(make_case, places)
    cases[3] = make_case("d", features=np.array([9.0]), annotated={Plane.AXIAL: (3,)})
    order = typical_order(cases, 2, np.random.default_rng(0), [3, 4, 6])
    assert [cases[n].name for n in order] == ["g", "e", "d"]


def test_nothing_asked_for_describes_no_case(make_case, monkeypatch):
    monkeypatch.setattr("sslseg.suggest.selection.typical_order", None)
    cases = [make_case("a"), make_case("b")]
    assert len(rank(cases, 4, classes=("posterior", "anterior"))) == 4
    assert rank(cases, 0, "cold-start", classes=("posterior", "anterior")) == []


def test_slices_lie_in_one_plane_and_are_spread_over_all_cases(make_case):
    """101 slices from 10 to 90: the middle, then the quarters, then the eighths of these."""
    cases = [make_case(str(n), geometry=grid((51, 101, 51))) for n in range(3)]
    found = list(islice(spread_slices(cases, [2, 0, 1], 2, 0.1, 0.9), 6))
    assert {plane for _, plane, _ in found} == {Plane.CORONAL}
    places = [(number, index) for number, _, index in found]
    assert places == [(2, 50), (2, 30), (0, 70), (0, 20), (1, 60), (1, 40)]


def test_slices_run_out_without_repeating(make_case):
    case = make_case(geometry=grid((3, 4, 2)), annotated={Plane.AXIAL: (0,)})
    found = list(spread_slices([case], [0], 3, 0.1, 0.9))
    assert len(found) == len(set(found)) == 3 + 4 + 1


@pytest.mark.parametrize(
    ("shape", "spacing", "annotated", "plane"),
    [
        ((35, 50, 36), (1, 1, 1), {}, Plane.CORONAL),  # most slices, so the smallest
        ((512, 512, 300), (0.7, 0.7, 1.0), {}, Plane.AXIAL),  # the finest
        ((40, 40, 12), (0.5, 0.5, 5.0), {}, Plane.AXIAL),
        ((40, 300, 300), (3.0, 0.9, 0.9), {}, Plane.SAGITTAL),
        ((35, 50, 36), (1, 1, 1), {Plane.AXIAL: (4, 9), Plane.SAGITTAL: (3,)}, Plane.AXIAL),
    ],
)
def test_the_main_plane(make_case, shape, spacing, annotated, plane):
    case = make_case(geometry=grid(shape, spacing), annotated=annotated)
    assert main_plane([case, make_case("b", geometry=grid(shape, spacing))]) is plane


def test_image_features_by_hand():
    data = np.zeros((10, 10, 10))
    data[5:] = 1
    found = image_features(data, (1.0, 2.0, 0.5))
    assert found[0] == found[15] == 0.5
    assert found[1:15].sum() == 0
    np.testing.assert_allclose(found[16:], np.log([10, 20, 5]), rtol=1e-6)
    assert np.isfinite(image_features(np.zeros((3, 3, 3)), (1, 1, 1))).all()
