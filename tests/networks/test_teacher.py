from __future__ import annotations

import pytest
import torch
from engine_worlds import CLASSES, tiny_plan
from torch import nn

from sslseg.networks.discriminators import PixelDiscriminator
from sslseg.networks.factory import Maker, NetworkSpec
from sslseg.networks.teacher import LEAST, MEMORY, freeze, paced, update_teacher


def one_weight(value: float) -> nn.Module:
    net = nn.BatchNorm1d(1)
    for tensor in net.state_dict().values():
        tensor.fill_(value)
    return net


def values(net: nn.Module) -> set[float]:
    return {round(t.item(), 6) for t in net.state_dict().values() if t.is_floating_point()}


def test_first_update_copies():
    teacher = one_weight(0.0)
    update_teacher(teacher, one_weight(4.0), 0, 0.99)
    assert values(teacher) == {4.0}


def test_updates_by_hand():
    """Decay min(1 - 1 / (step + 1), decay): 1/2 after one step, later 0.9."""
    teacher, student = one_weight(0.0), one_weight(4.0)
    update_teacher(teacher, student, 1, 0.9)
    assert values(teacher) == {2.0}
    update_teacher(teacher, student, 1000, 0.9)
    assert values(teacher) == {2.2}


def test_batch_norm_statistics_are_averaged_and_counts_copied():
    teacher, student = one_weight(0.0), one_weight(4.0)
    update_teacher(teacher, student, 1, 0.9)
    assert teacher.running_mean.item() == teacher.running_var.item() == 2.0
    assert teacher.num_batches_tracked.item() == 4
    assert student.running_mean.item() == 4.0


def test_frozen_networks_have_no_gradient_and_are_in_eval_mode():
    net = freeze(one_weight(1.0))
    assert not net.training
    assert not any(p.requires_grad for p in net.parameters())


@pytest.mark.parametrize("dims", [2, 3])
def test_network_maps_any_divisible_patch_to_logits(dims):
    spec = tiny_plan(dims).network
    assert spec.divisor == (2,) * dims
    net = Maker(spec)()
    for sides in ((4, 10, 6)[:dims], (2,) * dims):
        assert net(torch.zeros((2, spec.in_channels, *sides))).shape == (2, CLASSES, *sides)


def test_divisor_multiplies_strides_by_axis():
    spec = NetworkSpec(
        dims=3,
        in_channels=1,
        classes=2,
        channels=(2, 4, 8),
        strides=((2, 2, 1), (2, 1, 1)),
    )
    assert spec.divisor == (4, 2, 1)
    assert Maker(spec)()(torch.zeros((2, 1, 8, 6, 3))).shape == (2, 2, 8, 6, 3)


@pytest.mark.parametrize("sides", [(1, 1), (3, 17), (8, 8), (21, 5), (1, 9, 4), (8, 3, 11)])
def test_discriminator_judges_every_voxel_of_any_patch(sides):
    torch.manual_seed(0)
    critic = PixelDiscriminator(len(sides), CLASSES, width=4)
    p = torch.softmax(torch.randn((2, CLASSES, *sides)), 1).requires_grad_()
    logits = critic(p)
    assert logits.shape == (2, 1, *sides)
    logits.sum().backward()
    assert torch.isfinite(p.grad).all()


def test_discriminator_items_do_not_mix():
    """No batch statistics: truth and prediction may lie in one batch."""
    torch.manual_seed(0)
    critic = PixelDiscriminator(2, CLASSES, width=4).eval()
    p = torch.softmax(torch.randn((4, CLASSES, 12, 10)), 1)
    assert torch.allclose(critic(p)[:1], critic(p[:1]), atol=1e-6)


def test_discriminator_is_as_sharp_as_its_spectral_norm_allows():
    torch.manual_seed(0)
    critic = PixelDiscriminator(2, CLASSES, width=4)
    for _ in range(30):
        critic(torch.rand((1, CLASSES, 8, 8)))
    convolutions = [m for m in critic.features if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 3
    for layer in convolutions:
        largest = torch.linalg.matrix_norm(layer.weight.flatten(1), 2)
        assert largest.item() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("steps", [200, 250, 1200])
def test_an_average_remembers_no_more_than_its_share_of_a_short_run(steps):
    for step in (1, steps // 2, steps - 1):
        decay = paced(0.99, step, step / steps)
        assert 1 / (1 - decay) == pytest.approx(MEMORY * steps)


def test_a_long_run_and_the_first_step_keep_the_decay_that_was_asked_for():
    assert paced(0.99, 5000, 0.5) == 0.99
    assert paced(0.9, 40, 40 / 250) == 0.9
    assert paced(0.99, 0, 0.0) == 0.99
    assert 1 / (1 - paced(0.99, 2, 0.5)) == pytest.approx(LEAST), "there are no shorter averages"
