"""How far a voxel is from what somebody annotated."""

from __future__ import annotations

import torch
from torch import Tensor

from sslseg.losses.masked import annotated


def steps_to_annotation(y: Tensor) -> Tensor:
    """Return how many steps along the axes lie between each voxel and the nearest annotated one.

    Beside an annotated slice this is the distance to that slice in slices. Exact in two passes
    along each axis: min_k d_k + |i - k| = min(i + min_{k<=i} (d_k - k), the same from behind).

    Parameters
    ----------
    y : Tensor
        Target ``(B, *S)``, IGNORE allowed.

    Returns
    -------
    Tensor
        ``(B, *S)`` float32, in voxels; infinite in items without any annotated voxel.
    """
    far = torch.full(y.shape, torch.inf, device=y.device)
    steps = torch.where(annotated(y), torch.zeros_like(far), far)
    for axis in range(1, y.ndim):
        behind = _from_before(steps.flip(axis), axis).flip(axis)
        steps = torch.minimum(_from_before(steps, axis), behind)
    return steps


def _from_before(steps: Tensor, axis: int) -> Tensor:
    shape = [-1 if a == axis else 1 for a in range(steps.ndim)]
    place = torch.arange(float(steps.shape[axis]), device=steps.device).view(shape)
    return place + torch.cummin(steps - place, dim=axis).values


def nearness(y: Tensor, decay: float) -> Tensor:
    """Return the trust ``decay ** steps`` in pseudo-labels of each voxel.

    PLN (TMI 2023) has 0.8, DeSCO (CVPR 2023) 0.95 at first.

    Parameters
    ----------
    y : Tensor
        Target ``(B, *S)``.
    decay : float
        In (0, 1]; 1 trusts all alike.

    Returns
    -------
    Tensor
        ``(B, 1, *S)`` float32; 1 in items without any annotated voxel.
    """
    steps = steps_to_annotation(y).unsqueeze(1)
    return torch.where(torch.isinf(steps), torch.ones_like(steps), decay**steps)
