"""Networks that say what we want, and critics that judge by a formula."""

from __future__ import annotations

import torch
from engine_worlds import tiny_views
from torch import Tensor, nn

from sslseg.methods.adversary import Adversary
from sslseg.methods.shared import CriticParams
from sslseg.networks.discriminators import Critic


class Voxelwise(nn.Module):
    """Logits of each voxel that follow from its intensity: ``x * slope + shift``, per class."""

    def __init__(self, slope: tuple[float, ...], shift: tuple[float, ...]) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(slope).view(1, -1, 1, 1))
        self.shift = nn.Parameter(torch.tensor(shift).view(1, -1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :1] * self.slope + self.shift


class ChannelCritic(Critic):
    """Its logit of each voxel is `weight` times one channel: what it says is known by hand."""

    def __init__(self, channel: int = 0, weight: float = 1.0) -> None:
        super().__init__()
        self.channel = channel
        self.weight = nn.Parameter(torch.tensor(weight))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * x[:, self.channel : self.channel + 1]


def game(fraction: float = 0.5, **params: object) -> Adversary:
    return Adversary(CriticParams.model_validate(params), tiny_views(), fraction)


def accurate(critic: Critic, share: float) -> Critic:
    """The critic with a record of being right as often as `share` says."""
    critic.record.real.fill_(share)
    critic.record.fake.fill_(share)
    return critic
