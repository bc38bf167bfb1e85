from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from answering import HIDDEN, Answers, InTurn, unlabelled
from engine_worlds import LATE, make_method, tiny_batch, tiny_plan, tiny_views
from torch import nn

from sslseg.core.annotation import IGNORE
from sslseg.methods.multi_view import FLOOR, distances, fused
from sslseg.networks.factory import Maker

PLANES = ("sagittal", "coronal", "axial")


def three(seed: int = 0) -> dict[str, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return {name: torch.randn((2, 3, 2, 4, 3), generator=rng).softmax(1) for name in PLANES}


def test_fusion_against_loops():
    said = three()
    doubt = distances(said)
    arrays = {name: p.numpy() for name, p in said.items()}
    for name in PLANES:
        others = [other for other in PLANES if other != name]
        found = fused(said, doubt, name).numpy()
        for item, *voxel in np.ndindex(2, 2, 4, 3):
            at = (item, slice(None), *voxel)
            middle = sum(p[at] for p in arrays.values()) / 3
            c = [1 / (np.mean((arrays[o][at] - middle) ** 2) + FLOOR) for o in others]
            expected = sum(w * arrays[o][at] for w, o in zip(c, others, strict=True)) / sum(c)
            assert np.allclose(found[at], expected, atol=1e-5)


def test_a_view_that_two_others_contradict_counts_less():
    agreeing, odd = torch.tensor([0.9, 0.1]), torch.tensor([0.1, 0.9])
    said = {
        name: p.view(1, 2, 1, 1, 1)
        for name, p in zip(PLANES, (agreeing, agreeing, odd), strict=True)
    }
    for_first = fused(said, distances(said), "sagittal")
    assert for_first[0, 0] > 0.65  # the plain mean of the others would be 0.5
    assert torch.allclose(fused(said, distances(said), "axial"), said["sagittal"])


SURE, UNSURE, OTHER = (0.05, 0.9, 0.05), (0.5, 0.3, 0.2), (0.2, 0.4, 0.4)


def nets_saying(*says: Answers) -> dict[str, nn.Module]:
    """Networks whose EMAs say the same as they."""
    students = {f"student_{name}": net for name, net in zip(PLANES, says, strict=True)}
    return students | {n.replace("student", "teacher"): net for n, net in students.items()}


def term(nets, batch, **params):
    method = make_method("multi-view", **params)
    return method.step(batch, tiny_views(dims=3), nets, LATE).terms["consistency"]


def test_each_view_learns_what_the_others_are_sure_of():
    """At the left voxel all are sure; at the right nobody, where nothing is taught."""
    nets = nets_saying(*(Answers(SURE, UNSURE, dims=3) for _ in range(3)))
    found = term(nets, unlabelled(*HIDDEN, dims=3))
    assert found.item() == pytest.approx(-3 * math.log(0.9) / 2, rel=1e-4)
    found.backward()
    assert torch.count_nonzero(nets["student_axial"].logits.grad[..., 1]) == 0


def test_an_unsure_view_learns_from_two_sure_ones_and_does_not_teach():
    """The sure ones get 0.9 and 0.4 mixed: under 0.8. Only the third learns: -ln 0.4."""
    says = [Answers(SURE, SURE, dims=3) for _ in range(2)]
    nets = nets_saying(*says, Answers(OTHER, OTHER, dims=3))
    mixed = fused(
        {n: nets[f"student_{n}"](torch.zeros(1)).softmax(1) for n in PLANES},
        distances({n: nets[f"student_{n}"](torch.zeros(1)).softmax(1) for n in PLANES}),
        "sagittal",
    )
    assert 0.65 < mixed.max() < 0.8
    found = term(nets, unlabelled(*HIDDEN, dims=3))
    assert found.item() == pytest.approx(-math.log(0.4), rel=1e-4)


def test_annotated_voxels_are_left_to_their_annotation():
    nets = nets_saying(*(Answers(SURE, SURE, dims=3) for _ in range(3)))
    term(nets, unlabelled(1, IGNORE, dims=3)).backward()
    assert torch.count_nonzero(nets["student_axial"].logits.grad[..., 0]) == 0
    assert torch.count_nonzero(nets["student_axial"].logits.grad[..., 1]) == 3


def built(coarse: int | None = None, **params) -> dict[str, nn.Module]:
    torch.manual_seed(0)
    spec = tiny_plan(3).network.model_copy(update={"coarse": coarse})
    return make_method("multi-view", **params).build(Maker(spec))


def flat_axes(net: nn.Module) -> set[int]:
    """Axes along which some kernel is flat while another axis of it is not."""
    kernels = [part.kernel_size for part in net.modules() if isinstance(part, nn.Conv3d)]
    return {axis for kernel in kernels for axis in range(3) if kernel[axis] < max(kernel)}


def test_each_view_is_flat_along_the_normal_of_its_plane():
    nets = built()
    assert [flat_axes(nets[f"student_{name}"]) for name in PLANES] == [{0}, {1}, {2}]


def test_thick_slices_leave_one_plane_and_three_ways_to_grow():
    nets = built(coarse=1)
    assert all(flat_axes(nets[f"student_{name}"]) == {1} for name in PLANES)
    ways = [
        [type(part).__name__ for part in nets[f"student_{n}"].modules()]
        + [getattr(part, "mode", "") for part in nets[f"student_{n}"].modules()]
        for n in PLANES
    ]
    assert all(a != b for a, b in zip(ways, ways[1:] + ways[:1], strict=True))


def test_several_passes_drop_features_and_leave_the_teachers_calm():
    method, nets = make_method("multi-view", passes=3), built(passes=3)
    before = {k: v.clone() for k, v in nets["teacher_axial"].state_dict().items()}
    batch = tiny_batch(3)
    _, doubt = method._opinions(nets, batch.x)
    assert all(bool((d > 0).any()) and d.shape[1] == 1 for d in doubt.values())
    terms = method.step(batch, tiny_views(dims=3), nets, LATE).terms
    assert torch.isfinite(terms["consistency"])
    assert not any(part.training for part in nets["teacher_axial"].modules())
    after = nets["teacher_axial"].state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_doubt_of_several_passes_is_their_variance():
    """(.7, .2, .1), then (.1, .3, .6): 0.3^2, 0.05^2 and 0.25^2, mean over classes."""
    first, second = (0.7, 0.2, 0.1), (0.1, 0.3, 0.6)
    nets = {f"student_{name}": Answers(SURE, dims=3) for name in PLANES}
    nets |= {
        f"teacher_{name}": InTurn(Answers(first, dims=3), Answers(second, dims=3))
        for name in PLANES
    }
    said, doubt = make_method("multi-view", passes=2)._opinions(nets, torch.zeros(1, 1, 1, 1, 1))
    by_hand = (0.3**2 + 0.05**2 + 0.25**2) / 3
    for name in (f"student_{plane}" for plane in PLANES):
        assert doubt[name].shape == (1, 1, 1, 1, 1)
        assert doubt[name].item() == pytest.approx(by_hand, rel=1e-4)
        assert said[name].flatten().tolist() == pytest.approx([0.4, 0.25, 0.35], rel=1e-4)
