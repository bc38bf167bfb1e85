"""Equally spaced slices: what a careful person does without the tool."""

from __future__ import annotations

from collections import defaultdict

from suggest_worlds import grid

from sslseg.core.geometry import Plane
from sslseg.suggest.selection import rank

POSITIONS = (0.5, 0.25, 0.75, 0.125, 0.625, 0.375, 0.875)


def equal(cases, count, **more):
    return rank(cases, count, "equal", classes=("posterior", "anterior"), **more)


def test_slices_are_spaced_over_the_project_not_the_middle_of_every_case(make_case):
    cases = [make_case(str(n)) for n in range(7)]
    found = equal(cases, 7)
    assert {s.plane for s in found} == {Plane.CORONAL}
    assert [s.slice for s in found] == [round(29 * share) for share in POSITIONS]
    assert len({s.case for s in found}) == 7
    assert found[0].reason == "equally spaced; nothing is labelled in this case yet"


def test_each_slice_lies_at_the_share_of_its_own_case(make_case):
    cases = [make_case("long", geometry=grid((40, 81, 20))), make_case("short")]
    sizes = {"long": 81, "short": 30}
    for place, found in enumerate(equal(cases, 2)):
        assert found.slice == round(POSITIONS[place] * (sizes[found.case] - 1))


def test_the_next_round_goes_on_in_the_plane_in_use_with_the_cases_left(make_case):
    places = {"a": 10, "b": 5, "c": 14}
    done = [make_case(n, annotated={Plane.AXIAL: (at,)}) for n, at in places.items()]
    found = equal([*done, *(make_case(n) for n in "defg")], 4)
    assert {s.plane for s in found} == {Plane.AXIAL}
    assert sorted(s.case for s in found) == list("defg")
    assert [s.slice for s in found] == [round(19 * share) for share in POSITIONS[3:]]


def test_a_case_alone_is_filled_gap_by_gap(make_case):
    assert [s.slice for s in equal([make_case()], 7)] == [round(29 * share) for share in POSITIONS]


def test_the_slices_of_each_case_are_spread_too(make_case):
    """With four cases every fourth position lies near the first: they must not meet in one."""
    found = equal([make_case(n) for n in "abcd"], 16)
    slices = defaultdict(list)
    for each in found:
        slices[each.case].append(each.slice)
    assert {len(own) for own in slices.values()} == {4}
    assert min(max(own) - min(own) for own in slices.values()) >= 0.35 * 29


def test_thick_slices_keep_their_own_plane(make_case):
    thick = make_case("thick", geometry=grid((40, 40, 12), (0.5, 0.5, 5.0)))
    found = equal([thick, make_case("fine", annotated={Plane.CORONAL: (3,)})], 4)
    planes = defaultdict(set)
    for each in found:
        planes[each.case].add(each.plane)
    assert planes == {"thick": {Plane.AXIAL}, "fine": {Plane.CORONAL}}


def test_other_planes_follow_where_one_is_full_and_slices_without_a_gap_come_last(make_case):
    found = equal([make_case(geometry=grid((3, 3, 3)))], 20)
    keys = [(s.plane, s.slice) for s in found]
    assert keys[0] == (Plane.AXIAL, 1)
    assert len(set(keys)) == len(keys) == 9
    close = [
        any((plane, index + step) in keys[:place] for step in (-1, 1))
        for place, (plane, index) in enumerate(keys)
    ]
    assert close == sorted(close), "those without a gap come last"
    assert {plane for plane, _ in keys[: close.index(True)]} == set(Plane)


def test_the_order_of_cases_is_drawn(make_case):
    cases = [make_case(str(n)) for n in range(20)]
    orders = {tuple(s.case for s in equal(cases, 5, seed=seed)) for seed in (0, 0, 1, 2)}
    assert len(orders) == 3
