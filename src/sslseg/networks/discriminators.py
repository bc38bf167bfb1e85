"""Critics: of each voxel, of patches, of whole images, of features. All take any patch size.

None has batch norm: it would mix real and fake statistics. Spectral norm bounds
how sharply they answer, unless it is switched off.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sslseg.networks.record import Record

LEAK = 0.2


class Critic(nn.Module):
    """A network whose logits are above 0 for real. It keeps a record of how it fares."""

    def __init__(self) -> None:
        super().__init__()
        self.record = Record()


def record_of(critic: nn.Module) -> Record:
    """Return the record of a network that is a critic."""
    assert isinstance(critic, Critic), f"{type(critic).__name__} is no critic"
    return critic.record


class PatchDiscriminator(Critic):
    """Fully convolutional judge of overlapping patches (Isola et al. 2017; AdaptSegNet, 2018).

    Three stride-2 levels instead of the papers' five, so that small patches keep a map.

    Parameters
    ----------
    dims : int
        2 or 3 spatial axes.
    channels : int
        Channels of what it reads.
    width : int
        Features of the first level.
    spectral : bool
        Whether spectral norm bounds it.
    """

    def __init__(self, dims: int, channels: int, width: int = 32, *, spectral: bool = True) -> None:
        super().__init__()
        widths = [channels, width, 2 * width, 4 * width]
        self.features = _descent(dims, widths, spectral)
        self.head = _convolution(dims)(widths[-1], 1, 3, padding=1)

    def forward(self, p: Tensor) -> Tensor:
        """Return logits ``(B, 1, *S / 8)`` for ``(B, channels, *S)``."""
        return torch.as_tensor(self.head(self.features(_at_least(p, 8))))


class PixelDiscriminator(PatchDiscriminator):
    """Judge of each voxel: truth, or a prediction (AdvSemiSeg, 2018).

    The patches' logits, upsampled linearly to the input, as in the paper.
    """

    def forward(self, p: Tensor) -> Tensor:
        """Return logits ``(B, 1, *S)`` for a map ``(B, C, *S)``; above 0 means truth."""
        padded = _at_least(p, 8)
        mode = "bilinear" if p.ndim == 4 else "trilinear"
        logits = super().forward(padded)
        up = F.interpolate(logits, size=padded.shape[2:], mode=mode, align_corners=False)
        window = tuple(slice(0, side) for side in p.shape[2:])
        return torch.as_tensor(up[(slice(None), slice(None), *window)])


class ImageDiscriminator(Critic):
    """Judge of whole images (DAN, 2017, in the form of SSL4MIS).

    Four stride-2 levels, dropout 0.5 after the second and the third, mean over what is left of
    the image: the published pools fit one image size only. Parameters as `PatchDiscriminator`.
    """

    def __init__(self, dims: int, channels: int, width: int = 16, *, spectral: bool = True) -> None:
        super().__init__()
        widths = [channels, width, 2 * width, 4 * width, 8 * width]
        self.features = _descent(dims, widths, spectral, dropped=(1, 2))
        self.head = nn.Linear(widths[-1], 1)

    def forward(self, p: Tensor) -> Tensor:
        """Return logits ``(B, 1)`` for ``(B, channels, *S)``."""
        found = self.features(_at_least(p, 16))
        return torch.as_tensor(self.head(found.flatten(2).mean(2)))


class FeatureDiscriminator(Critic):
    """Judge of activations (Kamnitsas et al., 2017): 1x1 projection, two convolutions, a head.

    Parameters
    ----------
    dims : int
        2 or 3 spatial axes.
    channels : int
        Of all taps together.
    width : int
        Features of each layer.
    spectral : bool
        Whether spectral norm bounds it.
    """

    def __init__(self, dims: int, channels: int, width: int = 32, *, spectral: bool = True) -> None:
        super().__init__()
        conv = _convolution(dims)
        layers: list[nn.Module] = [_bounded(conv(channels, width, 1), spectral)]
        for _ in range(2):
            layers += [nn.LeakyReLU(LEAK), _bounded(conv(width, width, 3, padding=1), spectral)]
        self.features = nn.Sequential(*layers, nn.LeakyReLU(LEAK))
        self.head = conv(width, 1, 1)

    def forward(self, h: Tensor) -> Tensor:
        """Return logits ``(B, 1, *S)`` for ``(B, channels, *S)``."""
        return torch.as_tensor(self.head(self.features(h)))


def joined(taps: Sequence[Tensor]) -> Tensor:
    """Return features of several levels, pooled to the coarsest: ``(B, sum of channels, *S')``.

    Pooling commutes with the 1x1 projection that `FeatureDiscriminator` begins with.
    """
    sides = min((tap.shape[2:] for tap in taps), key=lambda size: size.numel())
    return torch.cat([F.interpolate(tap, size=sides, mode="area") for tap in taps], dim=1)


def _convolution(dims: int) -> type[nn.Conv2d] | type[nn.Conv3d]:
    return nn.Conv2d if dims == 2 else nn.Conv3d


def _bounded(layer: nn.Module, spectral: bool) -> nn.Module:
    return nn.utils.parametrizations.spectral_norm(layer) if spectral else layer


def _descent(
    dims: int, widths: Sequence[int], spectral: bool, dropped: Sequence[int] = ()
) -> nn.Sequential:
    """Return stride-2 convolutions from each width to the next; dropout after those `dropped`."""
    layers: list[nn.Module] = []
    for number, (inner, outer) in enumerate(pairwise(widths)):
        down = _convolution(dims)(inner, outer, 4, stride=2, padding=1)
        layers += [_bounded(down, spectral), nn.LeakyReLU(LEAK)]
        layers += [nn.Dropout(0.5)] if number in dropped else []
    return nn.Sequential(*layers)


def _at_least(p: Tensor, side: int) -> Tensor:
    """Pad ``(B, C, *S)`` with zeros behind, so that no side is shorter than `side`."""
    missing = [max(0, side - length) for length in p.shape[2:]]
    padding = [value for extra in reversed(missing) for value in (0, extra)]
    return F.pad(p, padding) if any(padding) else p
