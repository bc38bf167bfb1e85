"""Distances between predictions, and measures of doubt.

Probabilities are ``(B, C, *S)`` with classes on axis 1; weights ``w`` are ``(B, 1, *S)`` and
every mean is ``sum(w * a) / (sum(w) + eps)``, so that an empty mask gives 0 and not NaN.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

EPS = 1e-5
CLAMP = 1e-6


def weighted_mean(a: Tensor, w: Tensor | None) -> Tensor:
    """Return the mean of `a` ``(B, 1 or C, *S)`` weighted by `w` ``(B, 1, *S)``."""
    if w is None:
        return a.mean()
    w = w.to(a.dtype).expand(-1, a.shape[1], *a.shape[2:])
    return (w * a).sum() / (w.sum() + EPS)


def mse(p: Tensor, q: Tensor, w: Tensor | None = None) -> Tensor:
    """Mean squared difference of two probability maps over voxels and classes."""
    return weighted_mean((p - q).square(), w)


def kl(p: Tensor, q: Tensor, w: Tensor | None = None) -> Tensor:
    """Return KL(p || q), summed over classes (axis 1), mean over voxels, in nats."""
    log_ratio = p.clamp(min=CLAMP).log() - q.clamp(min=CLAMP).log()
    return weighted_mean((p * log_ratio).sum(1, keepdim=True), w)


def entropy(p: Tensor) -> Tensor:
    """Return entropy over classes divided by ln C: ``(B, 1, *S)`` in [0, 1], any C."""
    h = -(p * p.clamp(min=CLAMP).log()).sum(1, keepdim=True)
    return h / math.log(p.shape[1])


def self_information(z: Tensor) -> Tensor:
    """Return -p ln p / ln C of logits `z`, class by class: ``(B, C, *S)``, sums to the entropy.

    From log-softmax in single precision, so that a probability of 0 gives 0 and a finite
    gradient.
    """
    log_p = torch.log_softmax(z.float(), dim=1)
    return -(log_p.exp() * log_p) / math.log(z.shape[1])


def mutual_information(members: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Split the doubt of several members (BALD; equals their Jensen-Shannon divergence).

    Parameters
    ----------
    members : sequence of Tensor
        Probability maps ``(B, C, *S)`` of one voxel grid.

    Returns
    -------
    mean, entropy, information : Tensor
        Mean probability ``(B, C, *S)``; its entropy, and the part due to disagreement, each
        ``(B, 1, *S)`` in [0, 1] (over ln C).
    """
    mean = torch.stack(list(members)).mean(0)
    total = entropy(mean)
    expected = torch.stack([entropy(p) for p in members]).mean(0)
    return mean, total, (total - expected).clamp(min=0)


def js(members: Sequence[Tensor], w: Tensor | None = None) -> Tensor:
    """Return the Jensen-Shannon divergence of the members, over ln C, mean over voxels."""
    return weighted_mean(mutual_information(members)[2], w)


def pseudo_cross_entropy(z: Tensor, label: Tensor, w: Tensor) -> Tensor:
    """Cross-entropy of logits `z` ``(B, C, *S)`` to pseudo-labels ``(B, *S)``.

    `w` ``(B, 1, *S)`` weighs each voxel (0 drops it, which is not class 0). The mean is over
    all voxels, not over the kept ones: while the teacher trusts few voxels the term is small.
    """
    loss = F.cross_entropy(z.float(), label, reduction="none").unsqueeze(1)
    return (loss * w.to(loss.dtype)).mean()
