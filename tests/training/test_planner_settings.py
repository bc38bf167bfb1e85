"""What the planner chooses can be overruled; what it made of that is told."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from engine_worlds import paint, record, tiny_trainer, write_image

from sslseg.core.config import DeviceChoice, TrainRequest
from sslseg.core.control import Control
from sslseg.core.errors import SslsegError
from sslseg.core.events import FinishReason
from sslseg.core.geometry import Plane
from sslseg.data.coverage import Coverage
from sslseg.methods.parameters import fill
from sslseg.methods.shared import TrainingParams
from sslseg.session import Session
from sslseg.training.device import Device
from sslseg.training.model import load_facts
from sslseg.training.planner import make_plan
from sslseg.training.relay import relayed

LAPTOP = Device(torch.device("cpu"), "CPU", 8 * 2**30, None, 2)
CARD = Device(torch.device("cuda"), "a GPU", 80 * 2**30, torch.bfloat16, 2)
CLASSES = 3
CROP, CT = ((35, 50, 37), (1, 1, 1)), ((512, 512, 300), (0.8, 0.8, 1.0))
CORD = ((448, 448, 15), (0.5, 0.5, 5))
CORONAL = Coverage(Counter({Plane.CORONAL: 12}))


def settings(**given):
    return fill(TrainingParams, given)


def plan_for(world, device=LAPTOP, before=None, **given):
    cases = [record(str(n), *world) for n in range(3)]
    return make_plan(cases, CORONAL, CLASSES, device, settings(**given), before=before)


def told(plan):
    return " ".join(plan.words)


# ---- patch ----


@pytest.mark.parametrize(
    ("world", "side", "patch", "words"),
    [
        pytest.param(CROP, 32, (32, 32), "32 x 32 voxels, as asked", id="as asked"),
        pytest.param(CROP, 30, (32, 32), "30 asked, rounded up", id="rounded up"),
        pytest.param(CROP, 500, (36, 40), "500 asked, but volumes are smaller", id="small volumes"),
        pytest.param(CT, 64, (64, 64), "64 x 64 voxels, as asked", id="less than usual"),
        pytest.param(CORD, 448, (448, 448), "448 x 448 voxels, as asked", id="more than usual"),
    ],
)
def test_a_patch_as_asked(world, side, patch, words):
    plan = plan_for(world, patch=side)
    assert plan.patch == patch
    assert all(p % d == 0 for p, d in zip(plan.patch, plan.network.divisor, strict=True))
    assert words in told(plan)


def test_boxes_as_asked():
    assert plan_for(CT, dimensions="3d", patch=32).patch == (32, 32, 32)
    assert plan_for(CT, CARD, dimensions="3d", patch=160).patch == (160, 160, 160)


def test_a_patch_that_is_too_small_is_refused():
    with pytest.raises(SslsegError, match="Got patch=8; expected 16 to 1024 voxels, or 0"):
        settings(patch=8)


def test_a_patch_that_the_device_cannot_hold_is_refused():
    with pytest.raises(SslsegError, match=r"patch=512.*512 x 512 x 304.*at most") as caught:
        plan_for(CT, dimensions="3d", patch=512)
    assert caught.value.todo == "Choose a smaller patch, or a smaller batch."


def test_boxes_that_are_taught_by_slices_choose_their_own_patch():
    cases = [record(str(n), *CROP) for n in range(3)]
    params = settings(relay=True, patch=16)
    plan = make_plan(cases, CORONAL, CLASSES, LAPTOP, params)
    assert plan.patch == (16, 16)
    boxes = relayed(plan, cases, CORONAL, LAPTOP, params).boxes
    assert boxes is not None
    assert min(boxes.patch) > 30


# ---- spacing ----


def test_a_voxel_size_as_asked():
    plan = plan_for(CROP, spacing=2)
    assert plan.spacing == (2, 2, 2)
    assert "2 mm from left to right" in plan.words[1]
    assert "as asked" in plan.words[1]
    assert max(plan.patch) <= 20, "half as many voxels along each side"


def test_thick_slices_are_never_resampled_across():
    plan = plan_for(CORD, spacing=1.0)
    assert plan.spacing == (1, 1, None)
    assert "thick slices stay" in plan.words[1]


def test_every_volume_can_keep_its_own_voxels():
    cases = [record(str(size), (40, 40, 40), (size,) * 3) for size in (0.5, 1, 2)]
    plans = [
        make_plan(cases, CORONAL, CLASSES, LAPTOP, settings(spacing=said))
        for said in ("auto", "own")
    ]
    assert [plan.spacing for plan in plans] == [(1, 1, 1), (None, None, None)]
    assert "as asked" in plans[1].words[1]


@pytest.mark.parametrize("size", [0.2, 4.1])
def test_a_voxel_size_far_from_the_volumes_is_refused(size):
    with pytest.raises(SslsegError, match=rf"spacing={size}; expected 0.25 to 4 mm"):
        plan_for(CROP, spacing=size)


@pytest.mark.parametrize("text", ["wide", "0", "-1", "nan", "inf", "1 1 1", True])
def test_a_voxel_size_is_one_number_or_a_word(text):
    with pytest.raises(SslsegError, match="expected auto, own, or one voxel size in mm"):
        settings(spacing=text)


# ---- prediction and precision ----


@pytest.mark.parametrize(
    ("looks", "words"), [(1, "once, as"), (2, "2 slightly"), (4, "4 slightly")]
)
@pytest.mark.parametrize("world", [CROP, CT])
def test_looks_as_asked(world, looks, words):
    plan = plan_for(world, looks=looks)
    assert len(set(plan.shifts)) == looks
    assert plan.shifts[0] == 0
    assert words in told(plan)


def test_thin_patches_say_that_they_cannot_be_moved():
    plan = plan_for(((64, 64, 2), (1, 1, 1)), dimensions="3d", looks=2)
    assert plan.shifts == (0,)
    assert "since patches are thin" in told(plan)


@pytest.mark.parametrize(
    ("device", "asked", "words"),
    [
        (LAPTOP, "auto", "Single precision."),
        (LAPTOP, "mixed", "Mixed precision, as asked."),
        (CARD, "auto", "Mixed precision."),
        (CARD, "single", "Single precision, as asked."),
    ],
)
def test_precision_as_asked(device, asked, words):
    assert words in plan_for(CROP, device, precision=asked).words


@pytest.mark.parametrize(("asked", "amp"), [("auto", None), ("mixed", torch.bfloat16)])
def test_the_trainer_computes_and_predicts_in_the_precision_asked(asked, amp):
    trainer = tiny_trainer("supervised", training={"precision": asked})
    assert trainer.predictor().amp is amp


def test_a_run_with_all_of_them_trains_and_predicts(tmp_path):
    asked = {"patch": 16, "spacing": 0.8, "looks": 2, "precision": "mixed"}
    request = TrainRequest(
        steps=2, device=DeviceChoice.CPU, settings={"width": 2, "batch": 2} | asked
    )
    with Session.create(tmp_path / "project", ["one", "two"]) as session:
        files = [write_image(tmp_path / f"{case}.nii.gz", n) for n, case in enumerate("ab")]
        list(session.add(files, Control()))
        paint(session.store, "a", [2, 5])
        events = list(session.train(request, Control()))
        assert events[-1].reason is FinishReason.COMPLETED, events[-1].message
        plan = load_facts(session.store.path).plan
        assert (plan.spacing, plan.shifts) == ((0.8,) * 3, (0, 3))
        list(session.predict(["b"], Control()))
        assert list((session.store.path / "predictions" / "b").iterdir())


# ---- the run before ----


def wider(voxels):
    """Crops whose coronal slices are by so many voxels wider."""
    return ((35 + voxels, 50, 37), (1, 1, 1))


def test_the_network_of_the_run_before_is_kept_where_volumes_hardly_change():
    before, anew = plan_for(CROP), plan_for(wider(2))
    assert before.network != anew.network, "the median side passed a limit"
    plan = plan_for(wider(2), before=before)
    assert plan.network == before.network
    assert all(p % d == 0 for p, d in zip(plan.patch, plan.network.divisor, strict=True))
    assert "as in the run before" in plan.words[2]


def test_a_network_that_no_longer_fits_is_made_anew():
    before = plan_for(CROP)
    for other in (plan_for(wider(100), before=before), plan_for(wider(2), before=before, width=8)):
        assert other.network != before.network
        assert "run before" not in told(other)
    assert plan_for(wider(100), before=before) == plan_for(wider(100))
    assert plan_for(wider(2), before=before, width=8) == plan_for(wider(2), width=8)


def test_the_network_of_another_plane_is_no_reason():
    before = plan_for(CROP)
    plan = plan_for(wider(2), before=before, plane="axial")
    assert plan == plan_for(wider(2), plane="axial")


def test_a_plan_like_the_one_before_says_nothing_of_it():
    before = plan_for(CROP)
    assert plan_for(CROP, before=before) == before
