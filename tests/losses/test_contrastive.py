"""InfoNCE and Sinkhorn against numbers computed by hand."""

from __future__ import annotations

import math

import pytest
import torch
from monai.losses import ContrastiveLoss

from sslseg.losses.contrastive import info_nce
from sslseg.losses.sinkhorn import sinkhorn

ALIKE = torch.tensor([[1.0, 0.0], [5.0, 0.0], [0.0, 2.0]])
"""Two embeddings of one direction (cosine 1) and one at right angles to them (cosine 0)."""


def matrix(*pairs: tuple[int, int], size: int = 3) -> torch.Tensor:
    found = torch.zeros((size, size), dtype=torch.bool)
    for a, b in pairs:
        found[a, b] = True
    return found


def test_info_nce_by_hand():
    """-ln(e^2 / (e^2 + e^0)) at temperature 0.5; the anchor without a negative costs nothing."""
    z = ALIKE.clone().requires_grad_()
    found = info_nce(z, matrix((0, 1)), matrix((0, 2)), 0.5)
    assert found.item() == pytest.approx(math.log(1 + math.exp(-2)), rel=1e-5)
    both = info_nce(z, matrix((0, 1), (1, 0)), matrix((0, 2)), 0.5)
    assert both.item() == pytest.approx(math.log(1 + math.exp(-2)) / 2, rel=1e-5)
    both.backward()
    assert torch.isfinite(z.grad).all()


def test_info_nce_takes_the_mean_over_positive_pairs():
    z = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    found = info_nce(z, matrix((0, 1), (0, 2), size=4), matrix((0, 3), size=4), 1.0)
    by_hand = (math.log(1 + math.exp(-2)) + math.log(1 + math.exp(-1))) / 2
    assert found.item() == pytest.approx(by_hand, rel=1e-5)


def test_info_nce_with_all_others_negative_is_nt_xent():
    first, second = torch.randn((2, 5, 7), generator=torch.Generator().manual_seed(0))
    eye = torch.eye(5, dtype=torch.bool)
    none = torch.zeros_like(eye)
    positive = torch.cat([torch.cat([none, eye], 1), torch.cat([eye, none], 1)])
    negative = ~positive & ~torch.eye(10, dtype=torch.bool)
    found = info_nce(torch.cat([first, second]), positive, negative, 0.5)
    assert found.item() == pytest.approx(ContrastiveLoss(0.5)(first, second).item(), rel=1e-5)


def test_info_nce_without_pairs_teaches_nothing():
    z = ALIKE.clone().requires_grad_()
    found = info_nce(z, matrix(), matrix((0, 2)))
    found.backward()
    assert found == 0
    assert torch.count_nonzero(z.grad) == 0


def test_sinkhorn_by_hand():
    """The limit of [[a, b], [c, d]] is sqrt(ad) / (sqrt(ad) + sqrt(bc)) on the diagonal."""
    scores = torch.tensor([[4.0, 1.0], [2.0, 8.0]]).log()
    on, off = math.sqrt(4 * 8), math.sqrt(1 * 2)
    p = on / (on + off)
    expected = torch.tensor([[p, 1 - p], [1 - p, p]])
    assert torch.allclose(sinkhorn(scores, 1.0, rounds=50), expected, atol=1e-5)


def test_sinkhorn_is_doubly_stochastic_and_survives_large_scores():
    scores = 300 * torch.rand((3, 6, 6), generator=torch.Generator().manual_seed(0))
    soft = sinkhorn(scores, 100.0)
    ones = torch.ones((3, 6))
    assert torch.allclose(soft.sum(1), ones, atol=1e-5)
    assert torch.allclose(soft.sum(2), ones, atol=1e-3)
    assert torch.isfinite(sinkhorn(scores, 0.1)).all()
