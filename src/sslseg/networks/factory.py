"""From a plan to a network. The residual U-Nets are MONAI's."""

from __future__ import annotations

import torch
from monai.networks.nets import UNet
from pydantic import BaseModel, ConfigDict
from torch import nn


class NetworkSpec(BaseModel):
    """Everything that fixes a segmentor's shape.

    Parameters
    ----------
    dims : int
        2 for 2.5-D (neighbouring slices as channels), 3 for 3-D.
    in_channels, classes : int
        Input channels (image channels x context slices) and classes with background.
    channels, strides : tuple
        Features of each level; stride between levels, per axis.
    dropout : float
        Probability in every residual unit.
    """

    model_config = ConfigDict(frozen=True)
    dims: int
    in_channels: int
    classes: int
    channels: tuple[int, ...]
    strides: tuple[tuple[int, ...], ...]
    dropout: float = 0.0

    @property
    def divisor(self) -> tuple[int, ...]:
        """By what each patch side must be divisible."""
        sides = [1] * self.dims
        for stride in self.strides:
            sides = [side * step for side, step in zip(sides, stride, strict=True)]
        return tuple(sides)


def build(spec: NetworkSpec) -> nn.Module:
    """Return a residual U-Net: ``(B, in_channels, *S)`` to logits ``(B, classes, *S)``.

    Batch norm, PReLU, two convolutions a residual unit (Kerfoot et al. 2018).
    """
    net: nn.Module = UNet(
        spatial_dims=spec.dims,
        in_channels=spec.in_channels,
        out_channels=spec.classes,
        channels=spec.channels,
        strides=spec.strides,
        num_res_units=2,
        norm="batch",
        dropout=spec.dropout,
    )
    return net


def memory_format(dims: int) -> torch.memory_format:
    """Return the channels-last layout for `dims`: the faster one on CPUs and tensor cores."""
    return torch.channels_last if dims == 2 else torch.channels_last_3d
