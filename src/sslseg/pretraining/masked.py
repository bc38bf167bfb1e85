"""Masked reconstruction: blocks of the image are covered and filled in again."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from sslseg.data.batch import Batch
from sslseg.data.views import Views
from sslseg.methods.base import Networks, StepTerms
from sslseg.networks.factory import Maker
from sslseg.pretraining.base import Pretext, PretextParams, encoder_of

WIDTH = 32
"""Features of the light decoder."""


class MaskedParams(PretextParams):
    """Parameters of masked reconstruction."""

    share: float = Field(0.6, gt=0, lt=1, description="Share of each image that is covered.")
    blocks: int = Field(
        8, ge=2, le=64, description="Blocks along each side of a patch; fewer are larger."
    )


class LightDecoder(nn.Module):
    """Every level's features brought to one width and the finest size, summed, and read out."""

    def __init__(self, channels: Sequence[int], out: int, dims: int) -> None:
        super().__init__()
        conv = nn.Conv2d if dims == 2 else nn.Conv3d
        self.narrow = nn.ModuleList(conv(width, WIDTH, 1) for width in channels)
        self.read = nn.Sequential(
            conv(WIDTH, WIDTH, 3, padding=1), nn.PReLU(), conv(WIDTH, out, 3, padding=1)
        )
        self.mode = "bilinear" if dims == 2 else "trilinear"

    def forward(self, features: Sequence[Tensor], size: Sequence[int]) -> Tensor:
        """Return ``(B, out, *size)`` for the features of an encoder, finest first."""
        grown = [
            F.interpolate(narrow(level), size=features[0].shape[2:], mode=self.mode)
            for narrow, level in zip(self.narrow, features, strict=True)
        ]
        summed = torch.stack(grown).sum(0)
        return F.interpolate(self.read(summed), size=tuple(size), mode=self.mode)


class Masked(Pretext[MaskedParams]):
    """Blocks of the image are covered; encoder and a light decoder say what was there.

    He et al., CVPR 2022, with convolutions: Tian et al. (SparK), ICLR 2023; Xie et al. (SimMIM),
    CVPR 2022. L = mean over covered voxels of (reconstruction - image)^2. Choices of ours: covered
    voxels hold 0, the mean of a z-scored volume; a block is covered in all channels, since
    neighbouring slices would tell what it holds; batch norm sees the covered images, so no
    sparse convolution is needed.

    Defaults: share 0.6, blocks 8.
    """

    name = "masked"
    words = "masked reconstruction"
    summary = (
        "Learns to fill in covered parts of the images; "
        "a minute of it did not help, longer was not measured: to compare."
    )
    source = "He et al., CVPR 2022; Xie et al. (SimMIM), CVPR 2022; Tian et al. (SparK), ICLR 2023"
    Params = MaskedParams

    def build(self, make: Maker) -> dict[str, nn.Module]:
        """Return the encoder and a decoder that is thrown away."""
        spec = make.spec
        decoder = LightDecoder(spec.channels, spec.in_channels, spec.dims)
        return {"encoder": encoder_of(make), "decoder": decoder}

    def step(self, batch: Batch, views: Views, nets: Networks, fraction: float) -> StepTerms:
        """Return the reconstruction term."""
        covered = self.cover(batch.x, views.rng)
        features = nets["encoder"](torch.where(covered, 0.0, batch.x))
        said = nets["decoder"](features, batch.x.shape[2:])
        return StepTerms({"reconstruction": masked_mse(said, batch.x, covered)})

    def cover(self, x: Tensor, rng: torch.Generator) -> Tensor:
        """Draw which voxels of ``(B, C, *S)`` are covered: ``(B, 1, *S)`` bool, at least one."""
        counts = [min(side, self.params.blocks) for side in x.shape[2:]]
        drawn = torch.rand((x.shape[0], 1, *counts), generator=rng)
        flat = drawn.flatten(1)
        number = max(1, round(self.params.share * flat.shape[1]))
        limit = flat.sort(dim=1).values[:, number - 1]
        blocks = drawn <= limit.view(-1, *[1] * (drawn.ndim - 1))
        grown = F.interpolate(blocks.float(), size=x.shape[2:], mode="nearest")
        return (grown > 0).to(x.device)


def masked_mse(said: Tensor, x: Tensor, covered: Tensor) -> Tensor:
    """Return the mean squared error over the covered voxels of ``(B, C, *S)``.

    Parameters
    ----------
    said, x : Tensor
        ``(B, C, *S)``.
    covered : Tensor
        ``(B, 1, *S)`` bool.
    """
    error = torch.where(covered, said.float() - x.float(), 0.0).square().sum()
    return error / (covered.sum() * x.shape[1]).clamp(min=1)
