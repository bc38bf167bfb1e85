"""Losses of critics, on raw logits.

MONAI's PatchAdversarialLoss puts a sigmoid or tanh before its losses, which is not the textbook
form; these are. ``w`` ``(B, 1, *S)`` masks voxels of pixel-level critics. Logits
``d`` ``(B, 1, *S)`` or ``(B, 1)`` are above 0 for "real" in every form.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from sslseg.losses.consistency import weighted_mean

Form = Literal["cross-entropy", "least-squares", "hinge"]

EPS = 1e-4


def bce_logits(d: Tensor, real: float, w: Tensor | None = None) -> Tensor:
    """Binary cross-entropy of logits `d` to the constant target `real` in [0, 1].

    With ``real=1`` on the segmentor's own map this is the non-saturating generator loss
    (Goodfellow et al. 2014): softplus(-d).
    """
    target = torch.full_like(d, real)
    return weighted_mean(F.binary_cross_entropy_with_logits(d, target, reduction="none"), w)


def fooled(d: Tensor, form: Form, w: Tensor | None = None) -> Tensor:
    """Return the segmentor's loss for the critic's logits `d` of its own map.

    cross-entropy: softplus(-d), the non-saturating form; least-squares: 0.5 mean (s - 1)^2 (Mao
    et al. 2017); hinge: -mean d (Lim & Ye 2017). Of ``-d`` it is the loss of a real map that
    should be called fake.
    """
    if form == "cross-entropy":
        return bce_logits(d, 1.0, w)
    if form == "hinge":
        return -weighted_mean(d, w)
    return 0.5 * weighted_mean((_score(d) - 1).square(), w)


def told_apart(
    d_real: Tensor, d_fake: Tensor, form: Form, real: float = 1.0, w: Tensor | None = None
) -> Tensor:
    """Return the critic's loss for its logits of real and of fake maps.

    cross-entropy: the mean of both, ln 2 for a critic that knows nothing; least-squares: 0.5 mean
    (s_r - real)^2 + 0.5 mean s_f^2; hinge: mean relu(real - d_r) + mean relu(1 + d_f).

    Parameters
    ----------
    d_real, d_fake : Tensor
        Logits.
    form : str
        Which loss.
    real : float
        Target of real maps; below 1 it is one-sided label smoothing (Salimans et al. 2016).
    w : Tensor or None
        Mask of the voxels of both.
    """
    if form == "cross-entropy":
        return 0.5 * (bce_logits(d_real, real, w) + bce_logits(d_fake, 0.0, w))
    if form == "hinge":
        return weighted_mean(F.relu(real - d_real), w) + weighted_mean(F.relu(1 + d_fake), w)
    errors = (_score(d_real) - real).square(), _score(d_fake).square()
    return 0.5 * weighted_mean(errors[0], w) + 0.5 * weighted_mean(errors[1], w)


@torch.no_grad()
def outcome(
    d_real: Tensor, d_fake: Tensor, w: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return how a critic fared: plain cross-entropy, and shares of real and of fake told."""
    told = (d_real > 0).float(), (d_fake <= 0).float()
    loss = told_apart(d_real, d_fake, "cross-entropy", w=w)
    return loss, weighted_mean(told[0], w), weighted_mean(told[1], w)


def _score(d: Tensor) -> Tensor:
    """Return what least squares pulls to 1 and 0: the sigmoid's tangent at 0.

    The published loss acts on the network's output itself. An affine change of it keeps 0 the
    border between real and fake, so that a sigmoid of it still is a belief.
    """
    return 0.5 + d / 4


def slope(d: Tensor, x: Tensor, rng: torch.Generator) -> Tensor:
    """Return the mean of |grad_x d_v|^2 over items and positions v (R1, Mescheder et al. 2018).

    Random signs keep the gradients of several positions from adding up: E |J' e|^2 is the sum of
    squares of J. For a critic with one output it is the textbook's penalty, without chance.

    Parameters
    ----------
    d : Tensor
        Logits of real maps, computed from `x`.
    x : Tensor
        Real maps, with gradient.
    rng : Generator
        On the CPU.
    """
    signs = 2.0 * torch.randint(0, 2, d.shape, generator=rng).to(d) - 1
    (gradient,) = torch.autograd.grad((d * signs).sum(), x, create_graph=True)
    return gradient.square().sum() / d.numel()


def soften(truth: Tensor, p: Tensor, known: Tensor, sure: float = 0.9) -> Tensor:
    """Make truth look like a prediction, so that no critic can win by spotting one-hot maps.

    The true class gets ``max(sure, p)`` and the others share the rest in proportion to `p`
    (Luc et al. 2016). Voxels that nobody annotated keep the prediction.

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
