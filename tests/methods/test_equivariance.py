from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from answering import HIDDEN, Answers, unlabelled
from engine_worlds import LATE, make_method, tiny_batch, tiny_plan, tiny_views
from torch import nn

from sslseg.core.annotation import IGNORE
from sslseg.data.turns import Turn
from sslseg.data.warp import Warp
from sslseg.methods.equivariance import equivariance
from sslseg.networks.factory import Maker

A, B = (0.7, 0.2, 0.1), (0.1, 0.3, 0.6)
APART = 0.6**2 + 0.1**2 + 0.5**2
"""|A - B|^2, summed over classes."""


def term(net, batch, dims=2, **params):
    method = make_method("equivariance", **{"transform": "turns", **params})
    return method.step(batch, tiny_views(dims=dims), {"student": net}, LATE).terms["consistency"]


def shift(sides: tuple[int, ...], columns: int) -> Warp:
    """Reads each voxel `columns` to the right of it."""
    grid = F.affine_grid(torch.eye(2, 3)[None], [1, 1, *sides], align_corners=False)
    return Warp(grid + torch.tensor([2 * columns / sides[1], 0.0]))


def test_a_half_turn_by_hand():
    """The net says A, B of every image; turned, B, A: each voxel differs by |A - B|^2."""
    assert term(Answers(A, B), unlabelled(*HIDDEN)).item() == pytest.approx(APART, rel=1e-5)


def test_annotated_voxels_are_turned_too_and_learn_nothing():
    """The annotated left voxel lies right in the moved frame, where nothing is compared."""
    net = Answers(A, B)
    found = term(net, unlabelled(1, IGNORE))
    assert found.item() == pytest.approx(APART / 2, rel=1e-5)


def test_both_branches_learn():
    z, moved = (torch.randn(1, 3, 4, 4, requires_grad=True) for _ in range(2))
    equivariance(z, moved, Turn(quarters=1), torch.ones(1, 1, 4, 4)).backward()
    assert torch.count_nonzero(z.grad) == z.numel()
    assert torch.count_nonzero(moved.grad) == moved.numel()


@pytest.mark.parametrize("dims", [2, 3])
def test_the_identity_costs_exactly_nothing(dims, monkeypatch):
    torch.manual_seed(0)
    method = make_method("equivariance")
    monkeypatch.setattr(method, "drawn", lambda x, views: Turn())
    nets = method.build(Maker(tiny_plan(dims).network))
    terms = method.step(tiny_batch(dims), tiny_views(dims=dims), nets, LATE).terms
    assert terms["consistency"] == 0


def test_the_identity_warp_costs_its_rounding():
    z = torch.randn(1, 3, 8, 6)
    assert equivariance(z, z, shift((8, 6), 0), torch.ones(1, 1, 8, 6)) < 1e-10


@pytest.mark.parametrize("dims", [2, 3])
def test_a_network_of_single_voxels_is_equivariant(dims):
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 3, 1) if dims == 2 else nn.Conv3d(1, 3, 1)
    assert term(conv, tiny_batch(dims), dims) < 1e-12
    lopsided = nn.Conv2d(3, 3, 3, padding=1) if dims == 2 else nn.Conv3d(1, 3, 3, padding=1)
    assert term(lopsided, tiny_batch(dims), dims) > 1e-4


def test_what_a_warp_reads_outside_does_not_count():
    """Shifted by one column of four: three compare p(v + 1) with q(v), the last is outside."""
    z, moved = torch.randn(1, 3, 2, 4), torch.randn(1, 3, 2, 4)
    p, q = z.softmax(1), moved.softmax(1)
    by_hand = (p[..., 1:] - q[..., :-1]).square().sum() / 8
    found = equivariance(z, moved, shift((2, 4), 1), torch.ones(1, 1, 2, 4))
    assert found.item() == pytest.approx(by_hand.item(), rel=1e-4)


def test_warps_are_drawn_where_asked():
    found = term(Answers(A, B), unlabelled(*HIDDEN), transform="warps")
    assert 0 < found < APART
