from __future__ import annotations

import math

import pytest
import torch
from answering import Answers, probabilities, unlabelled
from engine_worlds import LATE, make_method, tiny_plan, tiny_views
from torch import nn

from sslseg.core.annotation import IGNORE
from sslseg.data.batch import Batch
from sslseg.methods.cross_teaching import agreement
from sslseg.networks.factory import Maker

NAMES = ("volume", "axial", "coronal")


def nets_saying(*says: Answers) -> dict[str, nn.Module]:
    """Networks whose EMAs say the same as they: of boxes, then of two planes."""
    students = {f"student_{name}": net for name, net in zip(NAMES, says, strict=True)}
    return students | {n.replace("student", "teacher"): net for n, net in students.items()}


def terms(nets, batch, **params):
    return make_method("cross-teaching", **params).step(batch, tiny_views(dims=3), nets, LATE).terms


def said(*columns) -> Answers:
    return Answers(*columns, dims=3)


def test_agreement_by_hand():
    """Both say 1, surer; both say 1, less sure; they differ; they agree and are as sure."""
    axial = probabilities([(0.1, 0.9), (0.4, 0.6), (0.1, 0.9), (0.2, 0.8)], 3)
    coronal = probabilities([(0.3, 0.7), (0.4, 0.6), (0.6, 0.4), (0.2, 0.8)], 3)
    boxes = probabilities([(0.75, 0.25), (0.7, 0.3), (0.5, 0.5), (0.8, 0.2)], 3)
    label, agreed = agreement([axial, coronal], boxes)
    assert label.flatten().tolist() == [1, 1, 1, 1]
    assert agreed.flatten().tolist() == [True, False, False, True]


def test_planes_teach_boxes_where_they_agree_and_are_surer():
    """Left: class 1 with -ln 0.4 of the 3-D network; right: the planes differ."""
    volume, right = (0.6, 0.4, 0.0), (0.4, 0.5, 0.1)
    nets = nets_saying(
        said(volume, volume), said((0.1, 0.8, 0.1), right), said((0.2, 0.8, 0.0), volume)
    )
    found = terms(nets, unlabelled(IGNORE, IGNORE, dims=3))["consistency"]
    assert found.item() == pytest.approx(-math.log(0.4) / 2, rel=1e-4)
    found.backward()
    assert torch.count_nonzero(nets["student_volume"].logits.grad[..., 1]) == 0


BOXES, PLANE = (0.05, 0.95, 0.0), (0.6, 0.2, 0.2)


def test_boxes_teach_planes_where_they_are_sure():
    """0.95 > 0.9: both planes get -ln 0.2. They agree on class 0, but the 3-D one is surer."""
    nets = nets_saying(said(BOXES, PLANE), said(PLANE, PLANE), said(PLANE, PLANE))
    found = terms(nets, unlabelled(IGNORE, IGNORE, dims=3))["consistency"]
    from_planes = -math.log(0.6) / 2  # to the right all are as sure, and say 0 to the 3-D network
    assert found.item() == pytest.approx(2 * -math.log(0.2) / 2 + from_planes, rel=1e-4)


@pytest.mark.parametrize(("truth", "taught"), [(1, True), (0, False), (IGNORE, False)])
def test_the_floor_is_relaxed_while_boxes_are_right_where_it_can_be_checked(truth, taught):
    """0.8 is under 0.9 and over 0.7; the annotated voxel says whether the latter is enough."""
    boxes, plane = (0.1, 0.8, 0.1), (0.4, 0.3, 0.3)
    nets = nets_saying(said(boxes, boxes), said(plane, plane), said(plane, plane))
    found = terms(nets, unlabelled(truth, IGNORE, dims=3))["consistency"]
    assert found.item() == pytest.approx(2 * -math.log(0.3) / 2 if taught else 0, rel=1e-4)
    found.backward()
    assert bool(nets["student_axial"].logits.grad.any()) == taught


@pytest.mark.parametrize(("student", "average"), [(0, 1), (1, 0)])
def test_it_is_the_teaching_average_that_must_be_right(student, average):
    """At the annotated voxel, of class 1, the network of boxes and its average differ."""
    boxes = {0: (0.8, 0.1, 0.1), 1: (0.1, 0.8, 0.1)}
    plane = (0.4, 0.3, 0.3)
    nets = nets_saying(said(boxes[average], boxes[1]), said(plane, plane), said(plane, plane))
    nets["student_volume"] = said(boxes[student], boxes[1])
    found = terms(nets, unlabelled(1, IGNORE, dims=3))["consistency"]
    assert found.item() == pytest.approx(-math.log(0.3) if average == 1 else 0, rel=1e-4)


def test_trust_falls_with_the_distance_from_the_annotated_slice():
    """Voxels 1, 2, 3 beside an annotated one: 0.5 + 0.25 + 0.125 of -2 ln 0.2, over four."""
    nets = nets_saying(said(*[BOXES] * 4), said(*[PLANE] * 4), said(*[PLANE] * 4))
    batch = unlabelled(1, IGNORE, IGNORE, IGNORE, dims=3)
    near = terms(nets, batch, nearness=0.5)["consistency"].item()
    assert near == pytest.approx(2 * -math.log(0.2) * 0.875 / 4, rel=1e-4)
    flat = terms(nets, batch)["consistency"].item()
    assert flat == pytest.approx(2 * -math.log(0.2) * 3 / 4, rel=1e-4)


def test_hidden_voxels_of_labelled_boxes_are_taught_too():
    """Two items of two voxels, one of the four annotated: three are taught."""
    nets = nets_saying(said(BOXES, BOXES), said(PLANE, PLANE), said(PLANE, PLANE))
    y = torch.tensor([[1, IGNORE], [IGNORE, IGNORE]]).view(2, 1, 1, 2)
    found = terms(nets, Batch(torch.zeros(2, 1, 1, 1, 2), y, 1))["consistency"]
    assert found.item() == pytest.approx(2 * -math.log(0.2) * 3 / 4, rel=1e-4)


@pytest.mark.parametrize(
    ("planes", "axes"),
    [
        ("axial and coronal", [2, 1]),
        ("axial and sagittal", [2, 0]),
        ("coronal and sagittal", [1, 0]),
    ],
)
def test_the_asked_planes_are_read(planes, axes):
    torch.manual_seed(0)
    nets = make_method("cross-teaching", planes=planes).build(Maker(tiny_plan(3).network))
    assert list(nets)[:3] == [f"student_{name}" for name in ("volume", *planes.split(" and "))]
    for axis, name in zip(axes, planes.split(" and "), strict=True):
        kernels = {
            part.kernel_size
            for part in nets[f"student_{name}"].modules()
            if isinstance(part, nn.Conv3d)
        }
        assert tuple(1 if a == axis else 3 for a in range(3)) in kernels


def test_the_network_of_boxes_comes_first():
    torch.manual_seed(0)
    method = make_method("cross-teaching")
    nets = method.build(Maker(tiny_plan(3).network))
    x = torch.randn(1, 1, 8, 8, 6)
    first = method.members(nets, x)[0]
    assert torch.equal(first, nets["teacher_volume"](x).softmax(1))
