"""Losses of critics, on raw logits.

MONAI's PatchAdversarialLoss puts a sigmoid or tanh before its losses, which is not the textbook
form (methods.md A7); these are. ``w`` ``(B, 1, *S)`` masks voxels of pixel-level critics.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sslseg.losses.consistency import weighted_mean

EPS = 1e-4


def bce_logits(d: Tensor, real: float, w: Tensor | None = None) -> Tensor:
    """Binary cross-entropy of logits `d` to the constant target `real` in [0, 1].

    With ``real=1`` on the segmentor's own map this is the non-saturating generator loss
    (Goodfellow et al. 2014): softplus(-d).
    """
    target = torch.full_like(d, real)
    return weighted_mean(F.binary_cross_entropy_with_logits(d, target, reduction="none"), w)


def soften(truth: Tensor, p: Tensor, known: Tensor, sure: float = 0.9) -> Tensor:
    """Make truth look like a prediction, so that no critic can win by spotting one-hot maps.

    The true class gets ``max(sure, p)`` and the others share the rest in proportion to `p`
    (Luc et al. 2016; methods.md A7). Voxels that nobody annotated keep the prediction.

    Parameters
    ----------
    truth : Tensor
        One-hot ``(B, C, *S)``, all zero where unknown.
    p : Tensor
        Predicted probability ``(B, C, *S)``, detached.
    known : Tensor
        ``(B, 1, *S)`` bool: annotated voxels.

    Returns
    -------
    Tensor
        ``(B, C, *S)``; sums to one over classes.
    """
    p_true = (truth * p).sum(1, keepdim=True)
    top = p_true.clamp(min=sure)
    others = p * (1 - truth)
    share = others / others.sum(1, keepdim=True).clamp(min=EPS)
    soft = truth * top + share * (1 - top)
    return torch.where(known, soft / soft.sum(1, keepdim=True).clamp(min=EPS), p)
