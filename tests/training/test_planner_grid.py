"""On which grid a plan learns, and that a CPU's is coarser where that costs no structure."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from engine_worlds import record

from sslseg.core.geometry import Plane
from sslseg.data.coverage import Coverage
from sslseg.methods.shared import TrainingParams
from sslseg.training.device import Device
from sslseg.training.planner import make_plan
from sslseg.training.planner_grid import ACROSS, OWN, Grids, times_coarser
from sslseg.training.relay import relayed

LAPTOP = Device(torch.device("cpu"), "CPU", 8 * 2**30, None, 2)
CARD = Device(torch.device("cuda"), "a GPU", 80 * 2**30, torch.bfloat16, 8)
SLICES, BOXES = 2, None
LIVER, KIDNEY, LESION, GREY_MATTER = 80.0, 24.0, 6.0, 1.4
"""mm across."""

CT = ((512, 512, 300), (0.8, 0.8, 1.0))
THICK_CT = ((512, 512, 60), (0.8, 0.8, 5.0))
HEART = ((320, 320, 110), (1.25, 1.25, 1.4))
BRAIN = ((160, 160, 160), (1, 1, 1))
CORD = ((448, 448, 15), (0.5, 0.5, 5))
CROP = ((35, 50, 37), (1, 1, 1))


def cases(world):
    return [record(str(n), *world) for n in range(3)]


def grid(world, thinnest, axis=SLICES, **others):
    others = {"hurried": True} | others
    return Grids(cases(world), thinnest=thinnest, **others).choose(axis)


@pytest.mark.parametrize(
    ("world", "axis", "thinnest", "spacing"),
    [
        (CT, SLICES, LIVER, (2.4, 2.4, None)),  # 512 are 5.3 x 96; 80 mm allow 17 times
        (CT, SLICES, 12.0, (1.6, 1.6, None)),  # 12 / (6 x 0.8) = 2.5
        (THICK_CT, SLICES, LIVER, (2.4, 2.4, None)),
        (HEART, SLICES, LIVER, (3.75, 3.75, None)),  # 320 are 3.3 x 96
        (CT, SLICES, LESION, OWN),
        (CORD, SLICES, GREY_MATTER, OWN),
        (CROP, SLICES, LIVER, OWN),
        (CT, SLICES, None, OWN),
        (BRAIN, SLICES, KIDNEY, (1.5, 1.5, None)),  # 160 are 1.7 x 96
        (BRAIN, BOXES, KIDNEY, (3, 3, 3)),  # 160 are 3.3 x 48
        (BRAIN, BOXES, 13.0, (2, 2, 2)),
        (CROP, BOXES, LIVER, OWN),  # 64,750 voxels are less than a patch of 48 x 48 x 48
    ],
)
def test_large_volumes_are_made_coarser_where_structures_allow_it(world, axis, thinnest, spacing):
    found, words = grid(world, thinnest, axis)
    assert found == spacing
    assert ("coarser" in words) == (spacing != OWN)
    if spacing != OWN:
        assert f"what is drawn is {thinnest:g} mm across" in words


def test_what_is_asked_or_a_gpu_stays_fine():
    assert grid(CT, LIVER, hurried=False)[0] == OWN
    assert grid(CT, LIVER, asked="own")[0] == OWN
    assert grid(CT, LIVER, asked="1")[0] == (1, 1, 1)
    covered = Coverage(Counter({Plane.AXIAL: 5}), thinnest=LIVER)
    plans = [
        make_plan(cases(CT), covered, 2, device, TrainingParams()) for device in (LAPTOP, CARD)
    ]
    assert [plan.spacing for plan in plans] == [(2.4, 2.4, None), OWN]


def test_volumes_that_differ_are_made_alike_and_coarser_at_once():
    """0.6, 0.8 and 1 mm: alike at 0.8, up to three times as long; slices 2 mm apart stay."""
    given = [record(str(s), (512, 512, 100), (s, s, 2.0)) for s in (0.6, 0.8, 1.0)]
    found = [
        Grids(given, thinnest=thinnest, hurried=True).choose(SLICES)[0]
        for thinnest in (LIVER, 10.0, LESION)
    ]
    assert found == [(2.4, 2.4, None), (1.6, 1.6, None), (0.8, 0.8, None)]


@pytest.mark.parametrize(
    ("needed", "allowed", "times"),
    [(0.4, 9, 1), (1.0, 9, 1), (1.6, 9, 1.5), (2.9, 9, 2), (9, 9, 3), (9, 1.9, 1.5), (9, 0.1, 1)],
)
def test_times_coarser(needed, allowed, times):
    assert times_coarser(needed, allowed) == times


@pytest.mark.parametrize("axis", [SLICES, BOXES])
def test_a_patch_stays_smaller_and_structures_stay_several_voxels_wide(axis):
    for thinnest in (3, 5, 10, 20, 40, 80):
        size = grid(CT, thinnest, axis)[0][0] or 0.8
        assert 512 * 0.8 / size >= 96
        assert size == 0.8 or thinnest / size >= ACROSS


@pytest.mark.parametrize(
    ("last", "thinnest", "spacing"),
    [
        ((2.4, 2.4, None), 12.0, (2.4, 2.4, None)),  # 2 would be chosen, 3 is at most 1.5 x 2.5
        ((1.6, 1.6, None), LIVER, (1.6, 1.6, None)),
        ((2.4, 2.4, None), 7.0, OWN),  # a thin structure was drawn since: 1.46 times are allowed
        (OWN, LIVER, (2.4, 2.4, None)),
        (OWN, 7.5, OWN),  # 1.5 times would not be worth beginning anew
        ((8.0, 8.0, 8.0), LIVER, (2.4, 2.4, None)),  # asked for then; 5.3 patches lie along a side
    ],
)
def test_the_grid_of_the_last_run_stays_where_it_is_close(last, thinnest, spacing):
    assert grid(CT, thinnest, last=last)[0] == spacing


@pytest.mark.parametrize("last", [None, (None, None, 1.0)])
def test_slices_that_were_made_alike_are_no_coarser_voxels(last):
    """Slices of 0.8, 1 and 1.2 mm were made alike along z; within them voxels were their own."""
    given = [record(str(s), (90, 90, 60), (0.5, 0.5, s)) for s in (0.8, 1.0, 1.2)]
    found, words = Grids(given, thinnest=LIVER, hurried=True, last=last).choose(SLICES)
    assert found == (None, None, 1.0)
    assert "alike" in words


@pytest.mark.parametrize(("thinnest", "spacing"), [(KIDNEY, (2, 2, None)), (LESION, OWN)])
def test_slices_closer_than_their_pixels_do_not_hold_the_pixels_back(thinnest, spacing):
    """300 are 3.1 x 96, at most 24 / 6 times as long; 6 mm across is 1 of the pixels' 6."""
    world = ((300, 300, 200), (1, 1, 0.5))
    found, words = grid(world, thinnest)
    assert found == ((3, 3, None) if spacing != OWN else OWN)
    assert "to :" not in words


def test_both_networks_of_a_relay_share_the_grid():
    small = ((90, 90, 80), (0.5, 0.5, 0.5))
    covered = Coverage(Counter({Plane.CORONAL: 12}), thinnest=LIVER)
    params = TrainingParams(relay=True)
    fine = make_plan(cases(small), covered, 2, LAPTOP, params)
    coarse = fine.model_copy(update={"spacing": (1.0, 1.0, 1.0)})
    assert relayed(fine, cases(small), covered, LAPTOP, params).boxes is None
    boxes = relayed(coarse, cases(small), covered, LAPTOP, params).boxes
    assert boxes is not None
    assert boxes.spacing == coarse.spacing
