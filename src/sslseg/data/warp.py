"""Spatial transforms on the device that can warp any tensor of the batch in the same way."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sslseg.core.annotation import IGNORE

FLAT = 3.0
"""Sides of a patch with a larger ratio are not turned into each other (as nnU-Net has it)."""


@dataclass(frozen=True)
class Warp:
    """One sampled spatial transform of a batch.

    Parameters
    ----------
    grid : Tensor
        ``(B, *S, ndim)`` sampling positions in [-1, 1], last axis first (as `grid_sample`).
    """

    grid: Tensor

    def image(self, x: Tensor) -> Tensor:
        """Warp intensities or probabilities ``(B, C, *S)`` linearly; borders are repeated."""
        return F.grid_sample(
            x, self.grid.to(x.dtype), mode="bilinear", padding_mode="border", align_corners=False
        )

    def target(self, y: Tensor) -> Tensor:
        """Warp a target ``(B, *S)`` by nearest neighbour; IGNORE where the warp leaves it."""
        shifted = (y - IGNORE).unsqueeze(1).float()
        moved = F.grid_sample(
            shifted, self.grid, mode="nearest", padding_mode="zeros", align_corners=False
        )
        return moved.squeeze(1).round().long() + IGNORE

    def validity(self) -> Tensor:
        """Return ``(B, 1, *S)`` float: 0 where the warp reads outside the image."""
        inside = (self.grid.abs() <= 1).all(-1)
        return inside.unsqueeze(1).float()


@dataclass(frozen=True)
class WarpRange:
    """How strong random warps are.

    Parameters
    ----------
    rotation : float
        Largest angle in radians, about every axis.
    scale : float
        Largest relative change of size, per item.
    shear : float
        Largest off-diagonal entry.
    shift : float
        Largest shift as a fraction of half the patch.
    elastic : float
        Deviation of the control points' displacement, as a fraction of half the patch.
    control_points : int
        Control points along each axis of the elastic field; few keep it free of folds.
    """

    rotation: float = 0.26
    scale: float = 0.2
    shear: float = 0.05
    shift: float = 0.1
    elastic: float = 0.03
    control_points: int = 5


def _uniform(shape: tuple[int, ...], extent: float, rng: torch.Generator) -> Tensor:
    return (torch.rand(shape, generator=rng) * 2 - 1) * extent


def _affine(batch: int, sides: tuple[int, ...], span: WarpRange, rng: torch.Generator) -> Tensor:
    """Return ``(B, ndim, ndim + 1)`` in grid_sample's coordinates, true to the voxel aspect.

    A long side is not tilted towards a much shorter one: its ends would leave the patch, and with
    them most annotated voxels.
    """
    ndim = len(sides)
    size = torch.tensor([float(side) for side in reversed(sides)])
    ratio = size.view(ndim, 1) / size.view(1, ndim)
    turns = (torch.maximum(ratio, 1 / ratio) <= FLAT).float()
    skew = _uniform((batch, ndim, ndim), span.rotation, rng)
    skew = (skew * turns).triu(1)
    rotation = torch.linalg.matrix_exp(skew - skew.transpose(1, 2))
    scale = torch.exp(_uniform((batch, 1, 1), span.scale, rng))
    axis_scale = torch.diag_embed(torch.exp(_uniform((batch, ndim), span.scale / 2, rng)))
    shear = torch.eye(ndim) + _uniform((batch, ndim, ndim), span.shear, rng) * turns
    matrix = scale * (rotation @ axis_scale @ shear)
    matrix = matrix * size.view(1, 1, ndim) / size.view(1, ndim, 1)
    return torch.cat([matrix, _uniform((batch, ndim, 1), span.shift, rng)], dim=2)


def random_warp(x: Tensor, span: WarpRange, flips: tuple[bool, ...], rng: torch.Generator) -> Warp:
    """Draw an affine and elastic transform for each item of ``x`` ``(B, C, *S)``.

    Parameters
    ----------
    x : Tensor
        Only its shape and device are used.
    span : WarpRange
        How strong.
    flips : tuple of bool
        Per spatial axis, whether items may be mirrored along it.
    rng : Generator
        On the CPU, so that every device draws the same.
    """
    batch, sides = x.shape[0], tuple(x.shape[2:])
    ndim = len(sides)
    theta = _affine(batch, sides, span, rng)
    mirrored = torch.rand((batch, ndim), generator=rng) < 0.5
    allowed = torch.tensor(flips[::-1])
    sign = 1 - 2 * (mirrored & allowed).float()
    theta = theta * sign.unsqueeze(2)
    coarse = (span.control_points,) * ndim
    field = torch.randn((batch, ndim, *coarse), generator=rng) * span.elastic
    device = x.device
    shape = [batch, 1, *sides]
    grid = F.affine_grid(theta.to(device), shape, align_corners=False)
    mode = "bicubic" if ndim == 2 else "trilinear"
    smooth = F.interpolate(field.to(device), size=sides, mode=mode, align_corners=True)
    return Warp(grid + smooth.movedim(1, -1))
