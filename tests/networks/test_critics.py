"""Critics of patches, images and features, their records, and the generators they judge."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from sslseg.losses.adversarial import outcome
from sslseg.networks.discriminators import (
    FeatureDiscriminator,
    ImageDiscriminator,
    PatchDiscriminator,
    PixelDiscriminator,
    joined,
)
from sslseg.networks.generators import StyleGenerator
from sslseg.networks.record import MEMORY, Record

SIZES = [(1, 1), (3, 17), (16, 16), (21, 5), (1, 9, 4), (8, 3, 11)]


@pytest.mark.parametrize("sides", SIZES)
@pytest.mark.parametrize("kind", [PatchDiscriminator, ImageDiscriminator, FeatureDiscriminator])
def test_critics_take_any_patch(kind, sides):
    torch.manual_seed(0)
    critic = kind(len(sides), 3, width=4)
    x = torch.randn((2, 3, *sides), requires_grad=True)
    logits = critic(x)
    assert logits.shape[:2] == (2, 1)
    logits.sum().backward()
    assert torch.isfinite(x.grad).all()
    assert x.grad.any()


@pytest.mark.parametrize("kind", [PatchDiscriminator, ImageDiscriminator, FeatureDiscriminator])
def test_items_do_not_mix(kind):
    torch.manual_seed(0)
    critic = kind(2, 3, width=4).eval()
    x = torch.randn((4, 3, 12, 10))
    assert torch.allclose(critic(x)[:1], critic(x[:1]), atol=1e-6)


@pytest.mark.parametrize("kind", [PixelDiscriminator, ImageDiscriminator, FeatureDiscriminator])
def test_spectral_norm_can_be_left_out(kind):
    def bounded(critic: nn.Module) -> int:
        return sum(nn.utils.parametrize.is_parametrized(m) for m in critic.features)

    assert bounded(kind(2, 3)) >= 3
    assert bounded(kind(2, 3, spectral=False)) == 0


def test_features_are_joined_at_the_coarsest():
    fine = torch.arange(16.0).view(1, 1, 4, 4)
    coarse = torch.ones((1, 2, 2, 2))
    found = joined([fine, coarse])
    assert found.shape == (1, 3, 2, 2)
    assert found[0, 0].tolist() == [[2.5, 4.5], [10.5, 12.5]]
    assert torch.equal(found[:, 1:], coarse)


def test_projecting_and_pooling_may_be_swapped():
    torch.manual_seed(0)
    project, tap = nn.Conv3d(2, 5, 1), torch.randn((1, 2, 4, 6, 4))
    coarse = torch.zeros((1, 1, 2, 2, 2))
    late = project(joined([tap, coarse])[:, :2])
    early = joined([project(tap), coarse])[:, :5]
    assert torch.allclose(late, early, atol=1e-6)


def test_a_record_is_a_running_mean():
    record = Record()
    assert record.loss.item() == pytest.approx(math.log(2))
    assert record.accuracy == 0.5
    record.note(*outcome(torch.tensor([[1.0], [1.0]]), torch.tensor([[1.0]])))
    assert record.real.item() == pytest.approx(MEMORY * 0.5 + (1 - MEMORY) * 1)
    assert record.fake.item() == pytest.approx(MEMORY * 0.5)
    one = 0.5 * (math.log(1 + math.exp(-1)) + math.log(1 + math.exp(1)))
    assert record.loss.item() == pytest.approx(MEMORY * math.log(2) + (1 - MEMORY) * one)


def test_a_record_counts_steps_out_of_bounds_in_a_row():
    record, sure, wrong = Record(), torch.tensor([[30.0]]), torch.tensor([[-30.0]])
    nothing = torch.zeros((1, 1))
    for _ in range(5):
        record.note(*outcome(nothing, nothing))
    assert (record.steps, record.losing, record.winning) == (5, 5, 0)
    for _ in range(100):
        record.note(*outcome(sure, wrong))
    assert record.losing == 0
    assert 0 < record.winning < 100
    assert record.accuracy > 0.99
    record.note(*outcome(wrong, sure))
    assert record.winning == 0


def test_a_record_forgets_what_is_not_finite():
    record = Record()
    record.note(*outcome(torch.tensor([[math.nan]]), torch.zeros((1, 1))))
    assert math.isfinite(record.loss)
    assert record.steps == 0


def test_a_record_is_saved_with_its_critic():
    critic = PixelDiscriminator(2, 3)
    critic.record.real.fill_(0.75)
    again = PixelDiscriminator(2, 3)
    again.load_state_dict(critic.state_dict())
    assert again.record.real == 0.75


@pytest.mark.parametrize("sides", SIZES)
def test_a_generator_begins_with_the_image_itself(sides):
    x = torch.randn((2, 3, *sides))
    generator = StyleGenerator(len(sides), 3)
    assert torch.equal(generator(x), x)
    nn.init.normal_(generator.head.weight)
    changed = generator(x)
    assert changed.shape == x.shape
    assert not torch.allclose(changed, x)


def test_a_generator_may_begin_with_the_negative():
    x = torch.randn((2, 3, 9, 8))
    generator = StyleGenerator(2, 3)
    generator.lean.fill_(-0.01)
    assert torch.equal(generator(x), -x)
