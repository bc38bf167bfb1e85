"""Critics that read probability maps."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEAK = 0.2


class PixelDiscriminator(nn.Module):
    """Fully convolutional judge of each voxel: truth, or a prediction (AdvSemiSeg, 2018).

    Three stride-2 levels instead of the paper's five, so that small patches keep a map; the
    logits are upsampled to the input. No normalisation: batch norm would mix real and fake
    statistics (methods.md A7). Spectral norm bounds its sharpness.

    Parameters
    ----------
    dims : int
        2 or 3 spatial axes.
    channels : int
        Channels of the map, classes with background.
    width : int
        Features of the first level.
    """

    def __init__(self, dims: int, channels: int, width: int = 32) -> None:
        super().__init__()
        conv = nn.Conv2d if dims == 2 else nn.Conv3d
        widths = [channels, width, 2 * width, 4 * width]
        layers: list[nn.Module] = []
        for inner, outer in pairwise(widths):
            down = conv(inner, outer, 4, stride=2, padding=1)
            layers += [nn.utils.parametrizations.spectral_norm(down), nn.LeakyReLU(LEAK)]
        self.features = nn.Sequential(*layers)
        self.head = conv(widths[-1], 1, 3, padding=1)
        self.mode = "bilinear" if dims == 2 else "trilinear"

    def forward(self, p: Tensor) -> Tensor:
        """Return logits ``(B, 1, *S)`` for a map ``(B, C, *S)``; above 0 means truth."""
        small = [max(0, 8 - side) for side in p.shape[2:]]
        padding = [value for extra in reversed(small) for value in (0, extra)]
        padded = F.pad(p, padding) if any(padding) else p
        logits = self.head(self.features(padded))
        up = F.interpolate(logits, size=padded.shape[2:], mode=self.mode, align_corners=False)
        window = tuple(slice(0, side) for side in p.shape[2:])
        return torch.as_tensor(up[(slice(None), slice(None), *window)])
