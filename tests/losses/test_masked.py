"""Supervised losses against numbers computed by hand."""

from __future__ import annotations

import math

import pytest
import torch

from sslseg.core.annotation import IGNORE
from sslseg.losses.masked import annotated, cross_entropy, dice, one_hot, supervised

# One item of 1 x 3 voxels and two classes; the third voxel is hidden.
P = torch.tensor([[[[0.8, 0.4, 0.9]], [[0.2, 0.6, 0.1]]]])
Z = P.log()
Y = torch.tensor([[[0, 1, IGNORE]]])


def test_one_hot_is_zero_where_nobody_said_anything():
    assert one_hot(Y, 2).tolist() == [[[[1, 0, 0]], [[0, 1, 0]]]]
    assert annotated(Y).tolist() == [[[True, True, False]]]


def test_cross_entropy_by_hand():
    by_hand = -(math.log(0.8) + math.log(0.6)) / 2
    assert cross_entropy(Z, Y).item() == pytest.approx(by_hand, rel=1e-6)


def test_weighted_cross_entropy_by_hand():
    weight = torch.tensor([[[3.0, 1.0, 100.0]]])
    by_hand = -(3 * math.log(0.8) + math.log(0.6)) / 4
    assert cross_entropy(Z, Y, weight).item() == pytest.approx(by_hand, rel=1e-6)


def test_dice_by_hand():
    """Class 0: 2 * 0.8 / (0.8^2 + 0.4^2 + 1); class 1: 2 * 0.6 / (0.2^2 + 0.6^2 + 1)."""
    by_hand = 1 - (1.6 / 1.8 + 1.2 / 1.4) / 2
    assert dice(Z, Y).item() == pytest.approx(by_hand, abs=1e-5)


def test_weighted_dice_by_hand():
    weight = torch.tensor([[[2.0, 1.0, 100.0]]])
    class_0 = 2 * 2 * 0.8 / (2 * (0.64 + 1) + 0.16)
    class_1 = 2 * 0.6 / (2 * 0.04 + 0.36 + 1)
    by_hand = 1 - (class_0 + class_1) / 2
    assert dice(Z, Y, weight).item() == pytest.approx(by_hand, abs=1e-5)


def test_dice_is_pooled_over_the_batch():
    """Sums before the ratio: not the mean of the items' Dice."""
    z = torch.cat([Z, P.flip(1).log()])
    y = torch.tensor([[[0, 1, IGNORE]], [[0, IGNORE, IGNORE]]])
    # The second item adds p = (0.2, 0.8) at a voxel of class 0.
    class_0 = 2 * (0.8 + 0.2) / (0.64 + 0.16 + 0.04 + 2)
    class_1 = 2 * 0.6 / (0.04 + 0.36 + 0.64 + 1)
    assert dice(z, y).item() == pytest.approx(1 - (class_0 + class_1) / 2, abs=1e-5)


def test_dice_skips_a_class_that_is_not_annotated():
    p = torch.tensor([[[[0.7]], [[0.2]], [[0.1]]]])
    by_hand = 1 - 2 * 0.7 / (0.49 + 1)
    assert dice(p.log(), torch.zeros((1, 1, 1), dtype=torch.long)).item() == pytest.approx(
        by_hand, abs=1e-5
    )


def test_supervised_is_the_mean_of_both():
    assert supervised(Z, Y).item() == pytest.approx(0.5 * (cross_entropy(Z, Y) + dice(Z, Y)).item())


@pytest.mark.parametrize("loss", [cross_entropy, dice, supervised])
@pytest.mark.parametrize("weight", [None, torch.ones((2, 4, 5, 3))])
def test_hidden_voxels_have_no_gradient(loss, weight):
    torch.manual_seed(0)
    z = torch.randn((2, 3, 4, 5, 3), requires_grad=True)
    y = torch.randint(0, 3, (2, 4, 5, 3))
    y[:, :2] = IGNORE
    loss(z, y, weight).backward()
    assert torch.count_nonzero(z.grad[:, :, :2]) == 0
    assert torch.count_nonzero(z.grad[:, :, 2:]) == z.grad[:, :, 2:].numel()


@pytest.mark.parametrize("loss", [cross_entropy, dice, supervised])
def test_nothing_annotated_is_zero_with_zero_gradient(loss):
    z = torch.randn((2, 3, 4, 4), requires_grad=True)
    value = loss(z, torch.full((2, 4, 4), IGNORE))
    value.backward()
    assert value == 0
    assert torch.count_nonzero(z.grad) == 0


@pytest.mark.parametrize("loss", [cross_entropy, dice])
def test_permuting_classes_changes_nothing(loss):
    torch.manual_seed(0)
    z, y = torch.randn((2, 3, 4, 4)), torch.randint(-1, 3, (2, 4, 4))
    order = torch.tensor([2, 0, 1])
    place = torch.tensor([1, 2, 0])
    permuted = torch.where(y == IGNORE, y, place[y.clamp(min=0)])
    assert loss(z[:, order], permuted).item() == pytest.approx(loss(z, y).item(), abs=1e-6)
