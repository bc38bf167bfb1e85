"""What every method owes on a graphics card; `scripts/test -m gpu` where there is one."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from engine_worlds import CPU, LATE, image, same, tiny_sampler, tiny_trainer

from sslseg.core.config import DeviceChoice
from sslseg.core.control import Control
from sslseg.training.device import choose

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


@pytest.fixture
def card():
    return choose(DeviceChoice.CUDA)


def after_steps(trainer, count=3):
    sampler = tiny_sampler(trainer.plan)
    return [trainer.step(sampler, LATE) for _ in range(count)]


def test_learns_in_mixed_precision(name, dims, card):
    """Losses are finite, weights move and stay finite float32 on the card."""
    assert card.amp is not None
    trainer = tiny_trainer(name, dims, device=card)
    before = trainer.weights()
    reports = after_steps(trainer)
    after = trainer.weights()
    assert all(math.isfinite(term) for report in reports for term in report.terms.values())
    assert not same(before, after)
    assert all(torch.isfinite(value).all() for value in after.values())
    parameters = [p for net in trainer.nets.values() for p in net.parameters()]
    assert all(p.is_cuda and p.dtype == torch.float32 for p in parameters)


def test_a_checkpoint_moves_between_card_and_cpu(name, dims, card):
    """State taken on the card predicts on the CPU what it predicts on the card, and goes on."""
    there = tiny_trainer(name, dims, device=replace(card, amp=None))
    after_steps(there)
    here = tiny_trainer(name, dims, device=CPU)
    here.load_state(there.state(), there.step_count)
    far, near = (t.predictor().volume(image(0), Control()).probability for t in (there, here))
    np.testing.assert_allclose(far, near, atol=0.02)
    (report,) = after_steps(here, 1)
    assert all(math.isfinite(term) for term in report.terms.values())
