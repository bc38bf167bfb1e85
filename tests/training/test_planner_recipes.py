"""What the planner makes of usual projects, devices and minutes: what every user relies on."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch
from engine_worlds import record

from sslseg.core.geometry import Plane
from sslseg.data.coverage import Coverage
from sslseg.methods.shared import TrainingParams
from sslseg.training.device import Device
from sslseg.training.planner import LOOKS, make_plan
from sslseg.training.planner_sizes import BYTES

DEVICES = {
    "laptop": Device(torch.device("cpu"), "CPU", 8 * 2**30, None, 2),
    "small card": Device(torch.device("cuda"), "a GPU", 6 * 2**30, torch.float16, 2),
    "Apple": Device(torch.device("mps"), "Apple GPU", 11 * 2**30, None, 8),
    "large card": Device(torch.device("cuda"), "a GPU", 80 * 2**30, torch.bfloat16, 8),
}
MINUTES = [1, 4, 15, 60]
CLASSES = 3

CROP, CORD = ((35, 50, 37), (1, 1, 1)), ((448, 448, 15), (0.5, 0.5, 5))
CT, ONE_SLICE = ((512, 512, 300), (0.8, 0.8, 1.0)), ((256, 256, 1), (1, 1, 1))
ONE_PLANE, DENSE = Counter({Plane.AXIAL: 12}), Coverage(Counter({Plane.AXIAL: 300}), dense=True)
MIXED = Coverage(Counter({Plane.AXIAL: 5, Plane.CORONAL: 4, Plane.SAGITTAL: 4}))

SLICES = {
    "MR crop": (CROP, Coverage(ONE_PLANE)),
    "spinal cord": (CORD, Coverage(ONE_PLANE)),
    "spinal cord, mixed planes": (CORD, MIXED),
    "spinal cord, whole volumes": (CORD, DENSE),
    "CT": (CT, Coverage(ONE_PLANE)),
    "one slice": (ONE_SLICE, Coverage(ONE_PLANE)),
    "nothing labelled": (CT, Coverage(Counter())),
}
"""Projects whose axial slices a network of slices reads, however long and wherever it runs."""

BOXES = {
    "MR crop, mixed planes": (CROP, MIXED),
    "MR crop, whole volumes": (CROP, DENSE),
    "CT, mixed planes": (CT, MIXED),
    "CT, whole volumes": (CT, DENSE),
}
"""Those that want boxes where there is time for them."""


def plan_for(world, device, minutes=None, **params):
    (shape, spacing), covered = world
    cases = [record(str(n), shape, spacing) for n in range(3)]
    chosen = TrainingParams.model_validate(params)
    return make_plan(cases, covered, CLASSES, DEVICES[device], chosen, minutes=minutes)


def facts_of(plan, device):
    """What the words must name for a reader to know the whole plan."""
    by = " x ".join
    context = "one by one" if plan.context == 1 else f"{plan.context} slices are read at once"
    return [
        f"{plan.network.dims}-D" if plan.axis is None else f"2.5-D network on {_plane(plan)}",
        *([] if plan.axis is None else [context]),
        f"{len(plan.network.channels)} levels",
        f"{plan.network.channels[0]} to {plan.network.channels[-1]} features",
        f"cell for {by(map(str, plan.network.divisor))} voxels",
        "Mixed precision" if DEVICES[device].amp else "Single precision",
        f"Learning rate {plan.learning_rate:g}",
        f"over {LOOKS:g} times",
        f"weight decay {plan.weight_decay:g}",
        f"Patches of {by(map(str, plan.patch))} voxels",
        f"{plan.labelled} labelled and {plan.unlabelled} unlabelled in a batch",
        f"mean of {len(plan.shifts)}" if len(plan.shifts) > 1 else "look once",
        f"below {plan.islands:.0%}" if plan.islands else "stay",
    ]


def _plane(plan):
    return f"{Plane.of_axis(plan.axis)} slices"


@pytest.mark.parametrize("minutes", MINUTES)
@pytest.mark.parametrize("device", list(DEVICES))
@pytest.mark.parametrize("name", [*SLICES, *BOXES])
def test_a_plan_fits_device_and_network_and_tells_all_of_itself(name, device, minutes):
    world = (SLICES | BOXES)[name]
    plan = plan_for(world, device, minutes)
    assert plan.labelled * math.prod(plan.patch) * BYTES <= DEVICES[device].memory
    assert all(p % d == 0 for p, d in zip(plan.patch, plan.network.divisor, strict=True))
    assert plan.spacing == (None, None, None), "volumes alike keep their own voxels"
    assert plan.context % 2 == 1
    told = " ".join(plan.words)
    assert [fact for fact in facts_of(plan, device) if fact not in told] == []
    assert all(words.endswith(".") and len(words) <= 160 for words in plan.words)
    assert len(plan.words) == len(set(plan.words)) == 8


@pytest.mark.parametrize("device", list(DEVICES))
@pytest.mark.parametrize("name", list(SLICES))
def test_slices_are_read_for_any_length(name, device):
    plans = [plan_for(SLICES[name], device, minutes) for minutes in MINUTES]
    assert [plan.axis for plan in plans] == [2] * len(MINUTES)
    assert all(plan == plans[0] for plan in plans), "the next run goes on, however long"


@pytest.mark.parametrize("name", ["MR crop, mixed planes", "MR crop, whole volumes"])
def test_boxes_are_read_where_there_is_time(name):
    """On a CPU in runs of 3 minutes and more, and the words say that minutes decided it."""
    plans = [plan_for(BOXES[name], "laptop", minutes) for minutes in MINUTES]
    assert [plan.axis for plan in plans] == [2, None, None, None]
    assert "needs 3 minutes here" in plans[0].words[0]
    for plan, minutes in zip(plans[1:], MINUTES[1:], strict=True):
        assert f"{minutes} minutes are enough" in plan.words[0]


@pytest.mark.parametrize("name", ["CT, mixed planes", "CT, whole volumes"])
def test_a_ct_is_too_large_for_boxes_on_a_cpu(name):
    """It holds 1,229 times 40 x 40 x 40 voxels."""
    plans = [plan_for(BOXES[name], "laptop", minutes) for minutes in MINUTES]
    assert [plan.axis for plan in plans] == [2] * len(MINUTES)
    assert all("needs 61 hours here" in plan.words[0] for plan in plans)


@pytest.mark.parametrize("device", ["small card", "Apple", "large card"])
@pytest.mark.parametrize("name", list(BOXES))
def test_a_gpu_always_has_time_for_boxes(name, device):
    plans = [plan_for(BOXES[name], device, minutes) for minutes in MINUTES]
    assert all(plan.axis is None and plan == plans[0] for plan in plans)
    assert "minutes" not in plans[0].words[0]


def test_boxes_of_a_large_ct_grow_with_the_memory():
    sizes = [math.prod(plan_for(BOXES["CT, whole volumes"], each).patch) for each in DEVICES]
    assert sizes == sorted(set(sizes))
    assert sizes[-1] == 128**3


def test_what_is_seen_of_thick_slices_is_told():
    """15 slices 5 mm apart: 5 of them are seen at once; more than there are is rounded down."""
    plan = plan_for(SLICES["spinal cord"], "laptop", context=31)
    assert plan.context == 15
    assert "15 slices are read at once (an odd number that all volumes have)" in plan.words[2]
    assert "since slices are thick" in plan.words[0]
