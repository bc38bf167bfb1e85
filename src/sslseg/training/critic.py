"""The discriminator that rides along with any method (AdvSemiSeg)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sslseg.core.prediction import CriticHealth
from sslseg.data.views import Views
from sslseg.losses.ramps import Ramp, poly
from sslseg.methods.adversary import Adversary
from sslseg.methods.shared import CriticParams

EVERY = 4
"""Optimiser steps of the segmentor for each one of a critic that only watches."""

HEALTHY = (0.6, 0.95)


@dataclass(frozen=True)
class RidingCritic:
    """A pixel discriminator with its optimiser.

    Annotations are real, predictions on annotated voxels are not; see `Adversary.tell_truth`.
    """

    net: nn.Module
    optimiser: torch.optim.Optimizer
    params: CriticParams

    def adversarial(self, logits: Tensor, views: Views, fraction: float) -> Tensor:
        """Return the segmentor's term: its map should look like truth, annotated or not."""
        p = torch.softmax(logits.float(), dim=1)
        return Adversary(self.params, views, fraction).fool(self.net, p)

    def ramp(self) -> Ramp:
        """Return the weight of the adversarial term over the run."""
        p = self.params
        return Ramp(weight=p.critic_weight, start=p.critic_start, length=0.2, shape="sigmoid")

    def due(self, step: int) -> bool:
        """Tell whether the critic learns at this step."""
        return self.params.critic_weight > 0 or step % EVERY == 0

    def learn(self, logits: Tensor, y: Tensor, views: Views, fraction: float) -> float | None:
        """Take one optimiser step on the detached outputs of the segmentor's step.

        Parameters
        ----------
        logits, y : Tensor
            ``(B, C, *S)`` and ``(B, *S)`` with IGNORE.
        views, fraction
            As in `Method.step`.

        Returns
        -------
        float or None
            Its loss, about 0.69 when it knows nothing; None where nothing was annotated.
        """
        p = torch.softmax(logits.detach().float(), dim=1)
        loss = Adversary(self.params, views, fraction).tell_truth(self.net, p, y)
        if loss is None:
            return None
        if loss.requires_grad:
            slow_down(self.optimiser, self.params, fraction)
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimiser.step()
        return float(loss.detach())


def slow_down(optimiser: torch.optim.Optimizer, params: CriticParams, fraction: float) -> None:
    """Let critics learn ever slower, as the segmentor does, where `critic_decay` asks for it."""
    if params.critic_decay:
        for group in optimiser.param_groups:
            group["lr"] = params.critic_learning_rate * poly(fraction)


def auc(positive: npt.NDArray[np.floating], negative: npt.NDArray[np.floating]) -> float | None:
    """Return the area under the ROC curve by the rank sum; None where a group is empty."""
    from scipy.stats import rankdata

    if not len(positive) or not len(negative):
        return None
    ranks = rankdata(np.concatenate([positive, negative]))
    low = len(positive) * (len(positive) + 1) / 2
    return float((ranks[: len(positive)].sum() - low) / (len(positive) * len(negative)))


def judge(value: float | None, held_out: bool, step: int | None = None) -> CriticHealth:
    """Say in words whether an AUC makes the confidence layer believable.

    Only held-out slices can show it: on slices that it learnt from, any critic looks good.

    Parameters
    ----------
    value : float or None
        The AUC; None where nothing could be measured.
    held_out : bool
        Whether on held-out slices.
    step : int or None
        When it was measured, where that was before now.
    """
    if value is None:
        words = "The discriminator could not be judged: no annotated slice holds foreground yet."
        return CriticHealth(auc=None, healthy=False, words=words)
    figure = f"AUC {value:.2f} on {'held-out' if held_out else 'training'} slices"
    figure += "" if step is None else f", last at step {step}"
    healthy = False
    if value < HEALTHY[0]:
        words = f"Do not rely on confidence yet: it cannot tell truth from prediction ({figure})."
    elif value > HEALTHY[1]:
        words = f"Do not rely on confidence: it tells truth from prediction too easily ({figure})."
    elif not held_out:
        words = f"Do not rely on confidence yet: no held-out slice could confirm it ({figure})."
    else:
        healthy = True
        words = f"Confidence is usable: it tells truth from prediction ({figure})."
    return CriticHealth(auc=round(value, 4), healthy=healthy, words=words)
