"""URPC's term against its equation, voxel by voxel."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from engine_worlds import make_method, tiny_batch, tiny_plan, tiny_views

from sslseg.losses.consistency import mutual_information
from sslseg.methods.urpc import pyramid_consistency, scales_of
from sslseg.networks.factory import Maker, NetworkSpec

DEEP = NetworkSpec(
    dims=2, in_channels=3, classes=3, channels=(4, 8, 8), strides=((2, 2), (2, 1)), dropout=0.0
)


def logits(*columns: tuple[float, ...]) -> torch.Tensor:
    """Logits ``(1, C, 1, W)`` whose softmax are the columns."""
    return torch.tensor(columns).T[None, :, None, :].log().requires_grad_()


def everywhere(z: torch.Tensor) -> torch.Tensor:
    return torch.ones((z.shape[0], 1, *z.shape[2:]))


def test_one_voxel_by_hand():
    """With one voxel exp(-D) cancels: (0.2^2 + D_s), mean over the two scales."""
    scales = [logits((0.8, 0.2)), logits((0.4, 0.6))]
    first = 0.6 * math.log(0.6 / 0.8) + 0.4 * math.log(0.4 / 0.2)
    second = 0.6 * math.log(0.6 / 0.4) + 0.4 * math.log(0.4 / 0.6)
    found = pyramid_consistency(scales, everywhere(scales[0]))
    assert found.item() == pytest.approx(0.04 + (first + second) / 2, rel=1e-3)


def slow(scales: list[torch.Tensor], w: torch.Tensor) -> float:
    """The equation with loops over scales, voxels and classes."""
    p = [torch.softmax(z, 1).movedim(1, -1).reshape(-1, z.shape[1]).tolist() for z in scales]
    chosen = [v for v, weight in enumerate(w.flatten().tolist()) if weight]
    classes = range(len(p[0][0]))
    total = 0.0
    for one in p:
        above = below = doubts = 0.0
        for v in chosen:
            mean = [sum(q[v][c] for q in p) / len(p) for c in classes]
            doubt = sum(mean[c] * math.log(mean[c] / one[v][c]) for c in classes)
            square = sum((one[v][c] - mean[c]) ** 2 for c in classes) / len(classes)
            above += math.exp(-doubt) * square
            below += math.exp(-doubt)
            doubts += doubt
        total += above / below + doubts / len(chosen)
    return total / len(p)


def test_many_voxels_by_loops():
    rng = torch.Generator().manual_seed(0)
    scales = [3 * torch.randn((2, 4, 3, 5), generator=rng) for _ in range(3)]
    w = torch.rand((2, 1, 3, 5), generator=rng) < 0.6
    assert pyramid_consistency(scales, w).item() == pytest.approx(slow(scales, w), rel=1e-3)


def test_agreement_costs_nothing():
    same = logits((0.7, 0.2, 0.1), (0.2, 0.3, 0.5))
    assert pyramid_consistency([same, same], everywhere(same)).item() == pytest.approx(0, abs=1e-6)


def test_classes_are_exchangeable_and_columns_too():
    """Sums run over classes, not over the width (a public R-Drop sums over the last axis)."""
    rng = torch.Generator().manual_seed(0)
    scales = [torch.randn((1, 3, 4, 5), generator=rng) for _ in range(2)]
    w = everywhere(scales[0])
    plain = pyramid_consistency(scales, w)
    for dim in (1, 3):
        turned = pyramid_consistency([z.roll(1, dim) for z in scales], w)
        assert turned.item() == pytest.approx(plain.item(), rel=1e-5)


def test_certain_opposites_stay_finite():
    first = torch.tensor([[[[200.0]], [[-200.0]]]], requires_grad=True)
    second = (-first.detach()).requires_grad_()
    found = pyramid_consistency([first, second], everywhere(first))
    found.backward()
    assert torch.isfinite(found)
    assert torch.isfinite(first.grad).all()


def test_an_annotated_voxel_is_left_to_its_label():
    method, batch = make_method("urpc"), tiny_batch(2)
    batch = replace(batch, y=torch.where(batch.y < 0, 0, batch.y))
    torch.manual_seed(0)
    out = method.step(batch, tiny_views(), method.build(Maker(DEEP)), 1.0)
    assert out.terms["consistency"] == 0


def test_every_scale_is_supervised():
    method, batch = make_method("urpc"), tiny_batch(2)
    torch.manual_seed(0)
    nets = method.build(Maker(DEEP))
    method.step(batch, tiny_views(), nets, 0.0).terms["supervised"].backward()
    heads = nets["student"].decoder.heads
    assert len(heads) == 1
    assert all(head.weight.grad.abs().sum() > 0 for head in heads)


def test_members_are_the_teachers_scales_and_the_student():
    method, x = make_method("urpc"), tiny_batch(2).x
    torch.manual_seed(0)
    nets = {name: net.eval() for name, net in method.build(Maker(DEEP)).items()}
    members = method.members(nets, x)
    assert len(members) == len(scales_of(nets["teacher"], x)) + 1 == 3
    assert torch.equal(members[0], torch.softmax(nets["teacher"](x), 1))
    assert torch.equal(members[-1], torch.softmax(nets["student"](x), 1))


def test_mutual_information_is_the_doubt_seen_from_the_other_side():
    """As the docstring says: mean_s KL(p_s || pbar), where D_s is KL(pbar || p_s)."""
    p, q = torch.tensor([[[[0.8]], [[0.2]]]]), torch.tensor([[[[0.4]], [[0.6]]]])
    first = 0.8 * math.log(0.8 / 0.6) + 0.2 * math.log(0.2 / 0.4)
    second = 0.4 * math.log(0.4 / 0.6) + 0.6 * math.log(0.6 / 0.4)
    found = mutual_information([p, q])[2]
    assert found.item() == pytest.approx((first + second) / 2 / math.log(2), rel=1e-4)


def test_a_network_of_one_level_has_nothing_to_compare():
    method, batch = make_method("urpc"), tiny_batch(2)
    torch.manual_seed(0)
    out = method.step(batch, tiny_views(), method.build(Maker(tiny_plan(2).network)), 1.0)
    assert out.terms["consistency"].item() == pytest.approx(0, abs=1e-9)
