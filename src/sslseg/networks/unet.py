"""A residual U-Net whose encoder and decoder can be used by themselves.

The blocks are MONAI's (Kerfoot et al. 2018: residual units of two convolutions going down, one
going up). MONAI's own `UNet` nests them so that nobody reaches the features; methods need them:
several decoders on one encoder (MC-Net+), predictions of every scale (URPC), features that a
discriminator reads (Kamnitsas), that lose channels (UniMatch) or that are trained before (jigsaw,
contrastive).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from monai.networks.blocks import Convolution, ResidualUnit
from torch import Tensor, nn

Upsample = Literal["transposed", "linear", "nearest"]
ACTIVATION = ("leakyrelu", {"negative_slope": 0.1, "inplace": True})
"""Cheaper on CPUs than MONAI's PReLU, whose slope is learnt."""

Sizes = tuple[int, ...]


class Encoder(nn.Module):
    """Residual units, each smaller and wider than the one before.

    Parameters
    ----------
    in_channels : int
        Of the image.
    channels : sequence of int
        Features of each level.
    strides : sequence of tuple
        Per level but the last (which keeps its size), per axis.
    kernels : sequence of tuple
        Per level, per axis.
    dropout : float
        Probability in every unit.
    """

    def __init__(
        self,
        in_channels: int,
        channels: Sequence[int],
        strides: Sequence[Sizes],
        kernels: Sequence[Sizes],
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        dims = len(kernels[0])
        steps = [*strides, (1,) * dims]
        inner = [in_channels, *channels[:-1]]
        self.levels = nn.ModuleList(
            ResidualUnit(
                dims,
                width,
                out,
                strides=step,
                kernel_size=kernel,
                act=ACTIVATION,
                norm="batch",
                dropout=dropout,
            )
            for width, out, step, kernel in zip(inner, channels, steps, kernels, strict=True)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the features of every level, finest first, each ``(B, channels, *S')``."""
        features: list[Tensor] = []
        for level in self.levels:
            x = level(x)
            features.append(x)
        return features


class Rise(nn.Module):
    """One level of the decoder: grow by the stride, then one residual convolution."""

    def __init__(
        self,
        inner: int,
        outer: int,
        stride: Sizes,
        kernel: Sizes,
        upsample: Upsample,
        dropout: float,
        *,
        last: bool,
    ) -> None:
        super().__init__()
        dims = len(stride)
        grows = upsample == "transposed" and max(stride) > 1
        self.grow = Convolution(
            dims,
            inner,
            outer,
            strides=stride if grows else 1,
            kernel_size=kernel,
            act=ACTIVATION,
            norm="batch",
            dropout=dropout,
            is_transposed=grows,
        )
        self.factor = None if grows else tuple(float(step) for step in stride)
        linear = "bilinear" if dims == 2 else "trilinear"
        self.mode = "nearest" if upsample == "nearest" else linear
        self.refine = ResidualUnit(
            dims,
            outer,
            outer,
            kernel_size=kernel,
            subunits=1,
            act=ACTIVATION,
            norm="batch",
            dropout=dropout,
            last_conv_only=last,
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(B, inner, *S)`` to ``(B, outer, *S * stride)``."""
        x = self.grow(x)
        if self.factor is not None and max(self.factor) > 1:
            x = F.interpolate(x, scale_factor=self.factor, mode=self.mode)
        return torch.as_tensor(self.refine(x))


class Decoder(nn.Module):
    """From the encoder's features to logits.

    Parameters
    ----------
    classes : int
        With background.
    channels, strides, kernels, dropout
        As the encoder's.
    upsample : str
        How it grows: transposed convolutions, linear or nearest interpolation.
    deep : bool
        Whether every level has a head of its own, for `scales`.
    """

    def __init__(
        self,
        classes: int,
        channels: Sequence[int],
        strides: Sequence[Sizes],
        kernels: Sequence[Sizes],
        dropout: float = 0.0,
        upsample: Upsample = "transposed",
        *,
        deep: bool = False,
    ) -> None:
        super().__init__()
        conv = nn.Conv2d if len(kernels[0]) == 2 else nn.Conv3d
        outer = [classes, *channels[:-2]]
        below = [*channels[:-2], channels[-1]]
        self.rises = nn.ModuleList(
            Rise(
                channels[level] + below[level],
                outer[level],
                stride,
                kernels[level],
                upsample,
                dropout,
                last=level == 0,
            )
            for level, stride in enumerate(strides)
        )
        self.heads = nn.ModuleList(conv(width, classes, 1) for width in outer[1:] if deep)

    def levels(self, features: Sequence[Tensor], finest: int = 0) -> list[Tensor]:
        """Return what every level gives, finest first: level 0 the logits.

        Levels finer than `finest` are not computed.
        """
        x, found = features[-1], []
        rises, skips = self.rises[finest:], features[finest:-1]
        for rise, skipped in zip(reversed(rises), reversed(skips), strict=True):
            x = rise(torch.cat([skipped, x], dim=1))
            found.append(x)
        return found[::-1]

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Return logits ``(B, classes, *S)`` for the features of an encoder."""
        return self.levels(features)[0]

    def scales(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Return logits of every level with a head, upsampled to ``(B, classes, *S)``.

        The first is what `forward` returns; without heads (`deep`) it is the only one.
        """
        logits, *coarse = self.levels(features)
        mode = "bilinear" if logits.ndim == 4 else "trilinear"
        grown = [
            F.interpolate(head(x), size=logits.shape[2:], mode=mode, align_corners=False)
            for head, x in zip(self.heads, coarse, strict=bool(self.heads))
        ]
        return [logits, *grown]


class UNet(nn.Module):
    """An encoder and a decoder: ``(B, in_channels, *S)`` to logits ``(B, classes, *S)``."""

    def __init__(self, encoder: Encoder, decoder: Decoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def forward(self, x: Tensor) -> Tensor:
        """Return logits ``(B, classes, *S)``; S divisible by the product of strides."""
        return torch.as_tensor(self.decoder(self.encoder(x)))
