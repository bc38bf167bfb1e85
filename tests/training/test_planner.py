"""Hand-picked projects, and what a person who trains networks would choose for them."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from engine_worlds import record

from sslseg.core.geometry import Plane, first_plane
from sslseg.data.coverage import Coverage
from sslseg.data.preprocessing import grid_shape
from sslseg.methods.shared import TrainingParams
from sslseg.networks.factory import Maker
from sslseg.training.device import Device
from sslseg.training.planner import Plan, make_plan
from sslseg.training.planner_grid import Grids
from sslseg.training.planner_sizes import PIXELS_CPU, VOXELS_CPU

LAPTOP = Device(torch.device("cpu"), "CPU", 8 * 2**30, None, 2)
SERVER = replace(LAPTOP, amp=torch.bfloat16)
CARD = Device(torch.device("cuda"), "a GPU", 80 * 2**30, torch.bfloat16, 2)
CLASSES = 3


def cases(shape, spacing, count=3):
    return [record(str(n), shape, spacing) for n in range(count)]


def covered(dense=False, **planes):
    return Coverage(Counter({Plane(name): n for name, n in planes.items()}), dense)


def plan_for(given, coverage, **params):
    return make_plan(given, coverage, CLASSES, LAPTOP, TrainingParams.model_validate(params))


def test_isotropic_crop_with_coronal_labels():
    plan = plan_for(cases((36, 50, 34), (1, 1, 1)), covered(coronal=12), context=9)
    assert (plan.axis, plan.context, plan.network.dims) == (1, 9, 2)
    assert plan.network.in_channels == 9
    assert plan.spacing == (None, None, None)
    assert any("coronal" in word for word in plan.words)


def test_a_method_of_boxes_gets_them_where_slices_would_be_chosen():
    given, found, params = cases((36, 50, 34), (1, 1, 1)), covered(coronal=12), TrainingParams()
    plan = make_plan(given, found, CLASSES, LAPTOP, params, boxes=True)
    assert (plan.axis, len(plan.patch)) == (None, 3)
    assert plan.words[0] == "3-D network, which this method cannot do without."


def test_labels_in_three_planes_train_in_3d():
    plan = plan_for(
        cases((36, 50, 34), (1, 1, 1)), covered(coronal=4, axial=4, sagittal=4), context=9
    )
    assert (plan.axis, plan.context, plan.network.in_channels) == (None, 1, 1)
    assert len(plan.patch) == 3


@pytest.mark.parametrize(
    ("minutes", "device", "axis"),
    [(1, LAPTOP, 1), (4, LAPTOP, None), (60, LAPTOP, None), (None, LAPTOP, None), (1, CARD, None)],
)
def test_boxes_are_for_runs_that_have_time_for_them(minutes, device, axis):
    """Four slices of each of two planes, five of a third."""
    given, found = cases((36, 50, 34), (1, 1, 1)), covered(coronal=5, axial=4, sagittal=4)
    plan = make_plan(given, found, CLASSES, device, TrainingParams(), minutes=minutes)
    assert plan.axis == axis
    assert ("needs 3 minutes" in plan.words[0]) is (axis is not None)


@pytest.mark.parametrize(
    ("minutes", "device", "axis"), [(2, LAPTOP, 2), (4, LAPTOP, None), (1, CARD, None)]
)
def test_whole_volumes_too_are_read_by_slices_in_short_runs(minutes, device, axis):
    given, found = cases((36, 50, 34), (1, 1, 1)), covered(dense=True, axial=34)
    plan = make_plan(given, found, CLASSES, device, TrainingParams(), minutes=minutes)
    assert plan.axis == axis
    assert ("needs 3 minutes" in plan.words[0]) is (axis is not None)


@pytest.mark.parametrize(("minutes", "axis"), [(15, 1), (90, None), (None, None)])
def test_large_volumes_need_more_time_for_boxes(minutes, axis):
    """1.728 million voxels are 27 times 40 x 40 x 40: 81 minutes."""
    given, found = cases((120, 120, 120), (1, 1, 1)), covered(coronal=5, axial=4, sagittal=4)
    plan = make_plan(given, found, CLASSES, LAPTOP, TrainingParams(), minutes=minutes)
    assert plan.axis == axis
    assert ("needs 81 minutes" in plan.words[0]) is (axis is not None)


def test_mostly_one_plane_stays_with_that_plane():
    plan = plan_for(cases((36, 50, 34), (1, 1, 1)), covered(sagittal=9, axial=1))
    assert plan.axis == 0


def test_whole_volumes_train_in_3d():
    plan = plan_for(cases((36, 50, 34), (1, 1, 1)), covered(dense=True, axial=34))
    assert plan.axis is None


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize(("slices", "why"), [(1, "images are flat"), (6, "only 6 slices thick")])
def test_flat_images_are_read_slice_by_slice(slices, why, dense):
    """A network of boxes would turn a flat image out of itself."""
    found = covered(dense, axial=slices) if dense else covered()
    plan = plan_for(cases((256, 256, slices), (1, 1, 1)), found)
    assert (plan.axis, plan.context) == (2, 1 if slices == 1 else 5)
    assert why in plan.words[0]
    if not dense:
        assert first_plane([record("a", (256, 256, slices), (1, 1, 1)).geometry]) is Plane.AXIAL


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_thick_slices_of_a_spinal_cord(plane):
    """0.5 x 0.5 x 5 mm: axial slices on their own grid, whatever plane was labelled."""
    plan = plan_for(cases((160, 160, 14), (0.5, 0.5, 5)), covered(**{plane: 6}))
    assert plan.axis == 2
    assert plan.spacing == (None, None, None)
    assert plan.context <= 13
    assert plan.context % 2 == 1


def test_a_huge_ct_on_a_cpu_has_bounded_patches():
    huge = cases((512, 512, 700), (0.8, 0.8, 1.0))
    flat = plan_for(huge, covered(axial=5))
    assert math.prod(flat.patch) <= 1.2 * PIXELS_CPU
    deep = plan_for(huge, covered(axial=5), dimensions="3d")
    assert math.prod(deep.patch) <= 1.3 * VOXELS_CPU
    for plan in (flat, deep):
        values = plan.labelled * plan.context * math.prod(plan.patch)
        assert values < 4 * 2**20, "a batch that a laptop can hold"


def test_mixed_spacings_are_brought_to_the_median():
    given = [
        record(str(n), (40, 40, 40), (s, s, s)) for n, s in enumerate((0.5, 1.0, 1.0, 2.0, 1.0))
    ]
    plan = plan_for(given, covered(axial=3))
    assert plan.spacing == (1.0, 1.0, 1.0)
    assert [grid_shape(case, plan.spacing)[0] for case in given] == [20, 40, 40, 80, 40]


def test_slightly_different_spacings_are_left_alone():
    given = [record(str(n), (20, 20, 20), (s, 1.0, 1.0)) for n, s in enumerate((0.95, 1.0, 1.05))]
    assert Grids(given).choose(2)[0] == (None, None, None)


def test_thick_slices_of_different_thickness_are_never_resampled():
    given = [
        record(str(n), (64, 64, 10), (s, s, t))
        for n, (s, t) in enumerate([(0.5, 5.0), (1.0, 4.0), (1.0, 8.0)])
    ]
    assert Grids(given).choose(2)[0] == (1.0, 1.0, None)


@pytest.mark.parametrize(
    ("params", "axis"),
    [
        ({"dimensions": "3d"}, None),
        ({"dimensions": "2.5d"}, 1),
        ({"plane": "sagittal"}, 0),
        ({"dimensions": "2.5d", "plane": "axial"}, 2),
    ],
)
def test_what_the_user_fixed_wins(params, axis):
    plan = plan_for(cases((36, 50, 34), (1, 1, 1)), covered(coronal=12), **params)
    assert plan.axis == axis
    assert any("as asked" in word for word in plan.words)


def test_boxes_of_thick_slices_are_told_so():
    """The network learns along which axis little is to be seen; the screen says it too."""
    thick = plan_for(cases((96, 96, 12), (0.5, 0.5, 5)), covered(axial=6), dimensions="3d")
    assert thick.network.coarse == 2
    assert any("slices are thick" in word for word in thick.words)
    fine = plan_for(cases((36, 50, 34), (1, 1, 1)), covered(axial=6), dimensions="3d")
    assert fine.network.coarse is None
    assert not any("thick" in word for word in fine.words)
    flat = plan_for(cases((96, 96, 12), (0.5, 0.5, 5)), covered(axial=6))
    assert (flat.axis, flat.network.coarse) == (2, None)


def test_width_batch_and_rates_as_asked():
    plan = plan_for(
        cases((36, 50, 34), (1, 1, 1)),
        covered(coronal=12),
        width=6,
        batch=5,
        learning_rate=0.5,
        weight_decay=0.25,
        context=4,
    )
    assert plan.network.channels[0] == 6
    assert "6 to 24 features, as asked" in plan.words[2]
    assert (plan.labelled, plan.unlabelled) == (5, 5)
    assert (plan.learning_rate, plan.weight_decay) == (0.5, 0.25)
    assert plan.context == 3, "context is odd"


@pytest.mark.parametrize(("labels", "dims"), [({"coronal": 6}, 2), ({"coronal": 3, "axial": 3}, 3)])
def test_a_cpu_without_fast_bfloat16_gets_half_the_features(labels, dims):
    given, found = cases((36, 50, 34), (1, 1, 1)), covered(**labels)
    asked = TrainingParams.model_validate({"precision": "mixed"})
    plain, half, wide = (
        make_plan(given, found, CLASSES, *rest)
        for rest in ((LAPTOP, TrainingParams()), (LAPTOP, asked), (SERVER, TrainingParams()))
    )
    assert [plan.network.dims for plan in (plain, half, wide)] == [dims] * 3
    assert plain.network.channels[:3] == half.network.channels[:3] == (16, 32, 64)
    assert wide.network.channels[:3] == (32, 64, 128)
    assert "few since this CPU knows no fast bfloat16" in plain.words[2]
    assert "few since" not in wide.words[2]


MEASURED = {"axis": 1, "context": 5, "patch": (36, 40), "labelled": 25, "unlabelled": 25}
"""The plan behind the figures of docs/benchmarks.md: 12 coronal slices of 110 hippocampi."""


def test_the_plan_that_was_measured_stays():
    given = cases((35, 50, 37), (1, 1, 1), 110)
    plan = make_plan(given, covered(coronal=12), CLASSES, SERVER, TrainingParams())
    assert {name: getattr(plan, name) for name in MEASURED} == MEASURED
    assert (plan.learning_rate, plan.weight_decay) == (6e-3, 1e-2)
    assert (plan.shifts, plan.spacing, plan.islands) == ((0, 2, 3, 5), (None, None, None), 0)
    assert plan.network.channels == (32, 64, 128, 256)
    assert plan.network.strides == ((2, 2), (2, 2), (1, 2))


def test_one_large_volume_does_not_pad_all_others():
    usual = cases((35, 50, 37), (1, 1, 1), 5)
    alone = plan_for(usual, covered(coronal=12))
    beside = plan_for([*usual, *cases((90, 90, 90), (1, 1, 1), 1)], covered(coronal=12))
    assert alone.patch == beside.patch == (36, 40)


SHAPES = [
    (36, 50, 34),
    (1, 40, 40),
    (40, 1, 40),
    (40, 40, 1),
    (1, 1, 1),
    (2, 3, 100),
    (13, 11, 9),
    (160, 160, 14),
    (5, 5, 5),
    (97, 101, 103),
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dimensions", ["2.5d", "3d"])
@pytest.mark.parametrize("plane", ["coronal", "axial"])
def test_every_plan_fits_its_network(shape, dimensions, plane):
    given = cases(shape, (1, 1, 1))
    plan = plan_for(given, covered(**{plane: 3}), dimensions=dimensions, width=2)
    assert all(s % d == 0 for s, d in zip(plan.patch, plan.network.divisor, strict=True))
    sides = [side for axis, side in enumerate(shape) if axis != plan.axis]
    assert all(p <= 2 * max(s, 1) for p, s in zip(plan.patch, sides, strict=True))
    assert plan.labelled >= 2
    net = Maker(plan.network)()
    x = torch.zeros((2, plan.network.in_channels, *plan.patch))
    with torch.no_grad():
        assert net.eval()(x).shape == (2, CLASSES, *plan.patch)


@pytest.mark.parametrize("shape", [(1, 40, 40), (1, 1, 1), (2, 3, 17), (13, 11, 9)])
@pytest.mark.parametrize("dimensions", ["2.5d", "3d"])
def test_batch_norm_has_values_to_average(shape, dimensions):
    """Training mode works down to one voxel, since a batch holds at least two labelled items."""
    plan = plan_for(cases(shape, (1, 1, 1)), covered(axial=1), dimensions=dimensions, width=2)
    x = torch.randn((plan.labelled, plan.network.in_channels, *plan.patch))
    assert torch.isfinite(Maker(plan.network)().train()(x)).all()


@pytest.mark.parametrize(("others", "unlabelled"), [(1, 25), (0.5, 13), (0.01, 1), (0, 0)])
def test_a_method_says_how_many_items_are_unlabelled(others, unlabelled):
    given, found = cases((35, 50, 37), (1, 1, 1)), covered(coronal=12)
    plan = make_plan(given, found, CLASSES, LAPTOP, TrainingParams(), others=others)
    assert (plan.labelled, plan.unlabelled) == (25, unlabelled)
    rest = f" and {unlabelled} unlabelled" if unlabelled else ""
    assert any(f"25 labelled{rest} in a batch" in words for words in plan.words)


def test_a_gpu_gets_larger_patches():
    gpu = Device(torch.device("cuda"), "GPU", 24 * 2**30, torch.bfloat16, 8)
    given, found = cases((400, 400, 300), (1, 1, 1)), covered(axial=2)
    params = TrainingParams(dimensions="3d")
    small = make_plan(given, found, CLASSES, LAPTOP, params)
    large = make_plan(given, found, CLASSES, gpu, params)
    assert np.prod(large.patch) > np.prod(small.patch)
    assert "Mixed precision." in large.words


def test_networks_that_share_boxes_get_fewer_of_them():
    given, found = cases((36, 50, 38), (1, 1, 1)), covered(axial=2)
    params = TrainingParams(dimensions="3d")
    alone = make_plan(given, found, CLASSES, LAPTOP, params)
    three = make_plan(given, found, CLASSES, LAPTOP, params, crowd=3)
    assert (alone.labelled, three.labelled, three.unlabelled) == (3, 1, 1)
    asked = TrainingParams(dimensions="3d", batch=5)
    assert make_plan(given, found, CLASSES, LAPTOP, asked, crowd=3).labelled == 5
    tiny = make_plan(cases((4, 5, 6), (1, 1, 1)), found, CLASSES, LAPTOP, params, crowd=9)
    assert tiny.labelled == 2


@pytest.mark.parametrize(
    ("shown", "asked", "islands", "words"),
    [
        (0.0, "auto", 0.0, "Small islands of a prediction stay."),
        (0.1, "auto", 0.1, "below 10% of the largest are erased; all labelled slices show one"),
        (0.5, "auto", 0.5, "below 50% of the largest are erased; all labelled slices of several"),
        (0.5, "keep", 0.0, "Small islands of a prediction stay, as asked."),
        (0.0, "erase", 0.1, "below 10% of the largest are erased, as asked."),
        (0.5, "erase", 0.5, "below 50% of the largest are erased, as asked."),
    ],
)
def test_islands_go_as_slices_tell_or_as_asked(shown, asked, islands, words):
    seen = replace(covered(coronal=12), islands=shown)
    params = TrainingParams(islands=asked)
    plan = make_plan(cases((35, 50, 37), (1, 1, 1), 4), seen, CLASSES, SERVER, params)
    assert plan.islands == islands
    assert any(words in told for told in plan.words)


@pytest.mark.parametrize(("stored", "islands"), [(True, 0.0), (False, 0.1), (0.5, 0.5)])
def test_models_from_before_there_were_two_shares_are_read(stored, islands):
    given = cases((35, 50, 37), (1, 1, 1), 4)
    plan = make_plan(given, covered(coronal=12), CLASSES, SERVER, TrainingParams())
    assert Plan.model_validate(plan.model_dump() | {"islands": stored}).islands == islands


def test_of_a_batch_only_the_labelled_items_were_asked_for():
    given = cases((35, 50, 37), (1, 1, 1), 4)
    plan = make_plan(given, covered(coronal=12), CLASSES, SERVER, TrainingParams(batch=3))
    assert any("3 labelled, as asked, and 3 unlabelled in a batch" in told for told in plan.words)
