"""Supervised losses that know only annotated voxels.

Every function takes logits ``z`` ``(B, C, *S)`` and a target ``y`` ``(B, *S)`` int64 with
`IGNORE` where nobody said anything. Hidden voxels are replaced before any arithmetic, so that
their label cannot reach the loss or its gradient, not even as ``0 * nan``.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sslseg.core.annotation import IGNORE

EPS = 1e-5


def annotated(y: Tensor) -> Tensor:
    """Return the mask ``(B, *S)`` bool of annotated voxels."""
    return y != IGNORE


def one_hot(y: Tensor, classes: int) -> Tensor:
    """Return ``(B, C, *S)`` float32; all zero where `y` is IGNORE."""
    mask = annotated(y)
    hot = F.one_hot(torch.where(mask, y, torch.zeros_like(y)), classes)
    return (hot * mask.unsqueeze(-1)).movedim(-1, 1).float()


def cross_entropy(z: Tensor, y: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean cross-entropy over annotated voxels; 0 with zero gradient where there is none.

    Parameters
    ----------
    z : Tensor
        Logits ``(B, C, *S)``.
    y : Tensor
        Target ``(B, *S)``, IGNORE allowed.
    weight : Tensor, optional
        Non-negative voxel weights ``(B, *S)``; the mean is weighted by them.
    """
    loss = F.cross_entropy(z.float(), y, ignore_index=IGNORE, reduction="none")
    counts = annotated(y).float() if weight is None else annotated(y) * weight.float()
    return (loss * counts).sum() / counts.sum().clamp(min=EPS)


def dice(z: Tensor, y: Tensor, weight: Tensor | None = None) -> Tensor:
    """Soft Dice loss, pooled over the batch, over annotated voxels, mean over present classes.

    One annotated slice of one patch holds few voxels, so numerator and denominator are summed
    over the whole batch before the ratio. Background counts as a
    class; classes absent from the annotated voxels are skipped. Returns 0 with zero gradient
    when nothing is annotated.

    Parameters
    ----------
    z, y, weight
        As in `cross_entropy`.
    """
    classes = z.shape[1]
    counts = annotated(y).float() if weight is None else annotated(y) * weight.float()
    truth = one_hot(y, classes)
    p = torch.softmax(z.float(), dim=1)
    dims = [0, *range(2, z.ndim)]
    w = counts.unsqueeze(1)
    overlap = (w * p * truth).sum(dims)
    size = (w * (p.square() + truth)).sum(dims)
    present = (w * truth).sum(dims) > 0
    ratio = (2 * overlap + EPS) / (size + EPS)
    return ((1 - ratio) * present).sum() / present.sum().clamp(min=1)


def supervised(z: Tensor, y: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return 0.5 * (cross-entropy + Dice), the supervised term of every method."""
    return 0.5 * (cross_entropy(z, y, weight) + dice(z, y, weight))
