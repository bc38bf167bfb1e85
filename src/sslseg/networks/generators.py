"""Generators of images in the style of another domain."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class StyleGenerator(nn.Module):
    """A small residual network that gives an image another style: G(x) = r(x) + x, or - x.

    CycleGAN's generator (stem, stride 2, residual blocks with instance norm, and up again), much
    smaller: r adds what style needs, so anatomy passes by it. Its last layer begins at 0: before
    anything is learnt, a translation is the image itself, which no cycle has to find out first.
    Whoever uses it may make that the image's negative: r alone does not find an inverted contrast,
    since a cycle is content with the sign it has and soon forbids another.

    `lean` is a scalar buffer, 0 at first: below 0 it is the negative that r adds to.

    Parameters
    ----------
    dims : int
        2 or 3 spatial axes.
    channels : int
        Of the image; in 2.5-D its neighbouring slices, which change together.
    width : int
        Features at full size; twice as many at half size.
    blocks : int
        Residual blocks at half size.
    """

    def __init__(self, dims: int, channels: int, width: int = 8, blocks: int = 3) -> None:
        super().__init__()
        conv = nn.Conv2d if dims == 2 else nn.Conv3d
        norm = nn.InstanceNorm2d if dims == 2 else nn.InstanceNorm3d
        self.mode = "bilinear" if dims == 2 else "trilinear"

        def layer(inner: int, outer: int, size: int, stride: int = 1) -> list[nn.Module]:
            one = conv(inner, outer, size, stride, padding=1)
            return [one, norm(outer, affine=True), nn.ReLU()]

        self.down = nn.Sequential(*layer(channels, width, 3), *layer(width, 2 * width, 4, 2))
        self.blocks = nn.ModuleList(
            nn.Sequential(*layer(2 * width, 2 * width, 3), *layer(2 * width, 2 * width, 3)[:-1])
            for _ in range(blocks)
        )
        self.up = nn.Sequential(*layer(2 * width, width, 3))
        self.head = conv(width, channels, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(torch.as_tensor(self.head.bias))
        self.lean: Tensor
        self.register_buffer("lean", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(B, channels, *S)`` for an image of any size S."""
        padded = _even(x)
        h = self.down(padded)
        for block in self.blocks:
            h = h + block(h)
        grown = F.interpolate(h, size=padded.shape[2:], mode=self.mode, align_corners=False)
        change = self.head(self.up(grown))
        window = tuple(slice(0, side) for side in x.shape[2:])
        return torch.where(self.lean < 0, -x, x) + torch.as_tensor(
            change[(slice(None), slice(None), *window)]
        )


def _even(x: Tensor, least: int = 4) -> Tensor:
    """Repeat the border of ``(B, C, *S)`` behind, up to even sides of at least `least`.

    Instance norm needs more than one voxel at half size.
    """
    missing = [max(least, side + side % 2) - side for side in x.shape[2:]]
    padding = [value for extra in reversed(missing) for value in (0, extra)]
    return F.pad(x, padding, mode="replicate") if any(padding) else x
