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
from sslseg.training.planner_grid import ACROSS, WINDOW, choose_spacing, times_coarser
from sslseg.training.relay import relayed

LAPTOP = Device(torch.device("cpu"), "CPU", 8 * 2**30, None, 2)
CARD = Device(torch.device("cuda"), "a GPU", 80 * 2**30, torch.bfloat16, 8)
OWN = (None, None, None)
LIVER, LESION, GREY_MATTER = 80.0, 6.0, 1.4
"""mm across."""

CT = ((512, 512, 300), (0.8, 0.8, 1.0))
THICK_CT = ((512, 512, 60), (0.8, 0.8, 5.0))
HEART = ((320, 320, 110), (1.25, 1.25, 1.4))
CORD = ((448, 448, 15), (0.5, 0.5, 5))
CROP = ((35, 50, 37), (1, 1, 1))


def cases(world):
    return [record(str(n), *world) for n in range(3)]


def grid(world, thinnest, last=None, hurried=True, asked="auto"):
    return choose_spacing(cases(world), asked, thinnest, hurried, last)


@pytest.mark.parametrize(
    ("world", "thinnest", "spacing"),
    [
        (CT, LIVER, (2.4, 2.4, 2.4)),  # 512 are 5.3 windows, 80 mm allow 8 times; 3 is the most
        (CT, 24.0, (1.6, 1.6, 1.6)),  # 24 / (12 x 0.8) = 2.5
        (THICK_CT, LIVER, (2.4, 2.4, None)),
        (HEART, LIVER, (3.75, 3.75, 3.75)),  # 320 are 3.3 windows
        (CT, LESION, OWN),
        (CORD, GREY_MATTER, OWN),
        (CROP, LIVER, OWN),
        (CT, None, OWN),
    ],
)
def test_large_slices_are_made_coarser_where_structures_allow_it(world, thinnest, spacing):
    found, words = grid(world, thinnest)
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
    assert [plan.spacing for plan in plans] == [(2.4, 2.4, 2.4), OWN]
    assert len(plans[0].shifts) > len(plans[1].shifts[:1]), "smaller volumes are looked at twice"


def test_volumes_that_differ_are_made_alike_and_coarser_at_once():
    """0.6, 0.8 and 1 mm: alike at 0.8, three times as long; slices 2 mm apart stay."""
    given = [record(str(s), (512, 512, 100), (s, s, 2.0)) for s in (0.6, 0.8, 1.0)]
    assert choose_spacing(given, thinnest=LIVER, hurried=True)[0] == (2.4, 2.4, 2.4)
    assert choose_spacing(given, thinnest=24.0, hurried=True)[0] == (1.6, 1.6, None)
    assert choose_spacing(given, thinnest=LESION, hurried=True)[0] == (0.8, 0.8, None)


@pytest.mark.parametrize(
    ("needed", "allowed", "times"),
    [(0.4, 9, 1), (1.0, 9, 1), (1.6, 9, 1.5), (2.9, 9, 2), (9, 9, 3), (9, 1.9, 1.5), (9, 0.1, 1)],
)
def test_times_coarser(needed, allowed, times):
    assert times_coarser(needed, allowed) == times


def test_a_slice_stays_larger_than_a_window_and_structures_many_voxels_wide():
    for thinnest in (5, 10, 20, 40, 80):
        size = grid(CT, thinnest)[0][0] or 0.8
        assert 512 * 0.8 / size >= WINDOW
        assert size == 0.8 or thinnest / size >= ACROSS


@pytest.mark.parametrize(
    ("last", "thinnest", "spacing"),
    [
        ((2.4, 2.4, 2.4), 24.0, (2.4, 2.4, 2.4)),  # 2 would be chosen, 3 is at most 1.5 x 2.5
        ((1.6, 1.6, 1.6), LIVER, (1.6, 1.6, 1.6)),
        ((2.4, 2.4, 2.4), 14.0, OWN),  # a thin structure was drawn since: 1.46 times are allowed
        (OWN, LIVER, (2.4, 2.4, 2.4)),
        (OWN, 15.0, OWN),  # 1.5 times would not be worth beginning anew
    ],
)
def test_the_grid_of_the_last_run_stays_where_it_is_close(last, thinnest, spacing):
    assert grid(CT, thinnest, last=last)[0] == spacing


def test_both_networks_of_a_relay_share_the_grid():
    small = ((120, 120, 100), (0.5, 0.5, 0.5))
    covered = Coverage(Counter({Plane.CORONAL: 12}), thinnest=LIVER)
    params = TrainingParams(relay=True, patch=64)
    first = make_plan(cases(small), covered, 2, LAPTOP, params)
    coarse = first.model_copy(update={"spacing": (1.0, 1.0, 1.0)})
    boxes = relayed(coarse, cases(small), covered, LAPTOP, params).boxes
    assert boxes is not None
    assert boxes.spacing == coarse.spacing
