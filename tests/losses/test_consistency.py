from __future__ import annotations

import math

import pytest
import torch

from sslseg.losses.consistency import (
    entropy,
    js,
    kl,
    mse,
    mutual_information,
    pseudo_cross_entropy,
    weighted_mean,
)


def voxels(*columns: tuple[float, ...]) -> torch.Tensor:
    """Probability vectors along the width: ``(1, C, 1, W)``."""
    return torch.tensor(columns).T[None, :, None, :]


P = voxels((0.5, 0.5, 0.0), (0.1, 0.2, 0.7))
Q = voxels((0.25, 0.25, 0.5), (0.1, 0.2, 0.7))
KL_FIRST = math.log(2)


def test_kl_sums_over_classes_and_means_over_voxels():
    assert kl(P, Q).item() == pytest.approx(KL_FIRST / 2, abs=1e-5)


def test_kl_is_not_symmetric():
    assert kl(Q, P).item() != pytest.approx(kl(P, Q).item(), abs=0.1)


@pytest.mark.parametrize("distance", [kl, mse, lambda p, q: js([p, q])])
def test_class_axis(distance):
    """Permuting classes or the width of both maps changes nothing; of one map it does."""
    value = distance(P, Q).item()
    assert value > 0
    order = [2, 0, 1]
    assert distance(P[:, order], Q[:, order]).item() == pytest.approx(value, abs=1e-6)
    assert distance(P.flip(-1), Q.flip(-1)).item() == pytest.approx(value, abs=1e-6)
    assert distance(P.flip(-1), Q).item() != pytest.approx(value, abs=1e-3)
    assert distance(P, P).item() == pytest.approx(0, abs=1e-6)


def test_mse_by_hand():
    by_hand = (0.25**2 + 0.25**2 + 0.5**2) / 6
    assert mse(P, Q).item() == pytest.approx(by_hand)


def test_weights_choose_voxels():
    w = torch.tensor([[[[1.0, 0.0]]]])
    assert kl(P, Q, w).item() == pytest.approx(KL_FIRST, rel=1e-4)
    assert mse(P, Q, w).item() == pytest.approx((0.0625 + 0.0625 + 0.25) / 3, rel=1e-4)


@pytest.mark.parametrize("distance", [kl, mse])
def test_an_empty_mask_gives_zero(distance):
    assert distance(P, Q, torch.zeros((1, 1, 1, 2))) == 0


def test_weighted_mean_by_hand():
    a = torch.tensor([[[[1.0, 2.0, 6.0]]]])
    w = torch.tensor([[[[1.0, 1.0, 2.0]]]])
    assert weighted_mean(a, w).item() == pytest.approx(15 / 4, rel=1e-4)
    assert weighted_mean(a, None).item() == 3


@pytest.mark.parametrize("classes", [2, 4, 14])
@pytest.mark.parametrize("sides", [(3, 5), (2, 3, 4)])
def test_entropy_is_one_where_nothing_is_known(classes, sides):
    p = torch.full((2, classes, *sides), 1 / classes)
    assert entropy(p).shape == (2, 1, *sides)
    assert torch.allclose(entropy(p), torch.ones(()), atol=1e-6)


def test_entropy_by_hand():
    """Half and half among four classes: ln 2 / ln 4."""
    found = entropy(voxels((0.5, 0.5, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0))).flatten()
    assert found.tolist() == pytest.approx([0.5, 0.0], abs=1e-4)


def test_equal_members_share_no_doubt():
    mean, total, information = mutual_information([P, P, P])
    assert torch.allclose(mean, P)
    assert torch.allclose(total, entropy(P))
    assert information.abs().max() < 1e-6


def test_opposite_certain_members_disagree_wholly():
    mean, total, information = mutual_information([voxels((1.0, 0.0)), voxels((0.0, 1.0))])
    assert mean.flatten().tolist() == [0.5, 0.5]
    assert total.item() == pytest.approx(1, abs=1e-4)
    assert information.item() == pytest.approx(1, abs=1e-4)


def test_js_by_hand():
    """Members (1, 0) and (0.5, 0.5): H(0.75, 0.25) - 0.5 * ln 2, over ln 2."""
    total = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    by_hand = (total - 0.5 * math.log(2)) / math.log(2)
    assert js([voxels((1.0, 0.0)), voxels((0.5, 0.5))]).item() == pytest.approx(by_hand, abs=1e-4)


def test_certain_maps_have_finite_gradients():
    p = voxels((1.0, 0.0, 0.0)).requires_grad_()
    (kl(p, Q[..., :1]) + entropy(p).mean() + js([p, Q[..., :1]])).backward()
    assert torch.isfinite(p.grad).all()


def test_untrusted_pseudo_labels_are_dropped_not_turned_into_background():
    z = torch.tensor([[[[0.0, 4.0]], [[0.0, 0.0]]]], requires_grad=True)
    label = torch.tensor([[[1, 1]]])
    w = torch.tensor([[[[True, False]]]])
    loss = pseudo_cross_entropy(z, label, w)
    loss.backward()
    assert loss.item() == pytest.approx(math.log(2) / 2)
    assert z.grad[..., 0].flatten().tolist() == pytest.approx([0.25, -0.25])
    assert z.grad[..., 1].tolist() == [[[0.0], [0.0]]]
