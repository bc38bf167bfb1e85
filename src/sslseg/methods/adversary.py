"""The game of a segmentor and a critic, with the remedies against what goes wrong in it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sslseg.data.views import Views
from sslseg.losses.adversarial import fooled, outcome, slope, soften, told_apart
from sslseg.losses.masked import annotated, one_hot
from sslseg.methods.shared import CriticParams
from sslseg.networks.discriminators import record_of
from sslseg.networks.record import Record

PENALISED_EVERY = 16
"""Steps of a critic between gradient penalties, each counting as often (Karras et al. 2020)."""


@dataclass(frozen=True)
class Adversary:
    """One step's game (Goodfellow et al. 2014).

    Parameters
    ----------
    params : CriticParams
        Loss, smoothing, noise, penalty and gates.
    views : Views
        Of the step; the source of randomness.
    fraction : float
        Done share of the run, in [0, 1].
    """

    params: CriticParams
    views: Views
    fraction: float

    def fool(self, critic: nn.Module, fake: Tensor, w: Tensor | None = None) -> Tensor:
        """Return the segmentor's term: `critic` should call `fake` real. 0 while it may not push.

        Parameters
        ----------
        critic : Module
            Without gradient of its own.
        fake : Tensor
            What it reads, ``(B, channels, *S)``, with gradient.
        w : Tensor or None
            Mask ``(B, 1, *S)`` of its logits.
        """
        if not self._pushes(critic):
            return fake.new_zeros(())
        return fooled(self._logits(critic, fake), self.params.critic_loss, w)

    def confuse(self, critic: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
        """Return the term of a segmentor that made both: each should be taken for the other."""
        if not self._pushes(critic):
            return fake.new_zeros(())
        d_real, d_fake = self._both(critic, real, fake)
        form = self.params.critic_loss
        return 0.5 * (fooled(d_fake, form) + fooled(-d_real, form))

    def tell_apart(
        self, critic: nn.Module, real: Tensor, fake: Tensor, w: Tensor | None = None
    ) -> Tensor:
        """Return the critic's loss, without gradient while it is too good to learn.

        Parameters
        ----------
        critic : Module
            With gradient.
        real, fake : Tensor
            Detached, ``(B, channels, *S)`` each; B may differ.
        w : Tensor or None
            Mask ``(B, 1, *S)`` of the logits of both.
        """
        record = record_of(critic)
        learns = self._learns(record)
        penalised = self._penalises(record)
        real = real.detach().requires_grad_(penalised)
        d_real, d_fake = self._both(critic, real, fake)
        loss = told_apart(d_real, d_fake, self.params.critic_loss, self.params.critic_real, w)
        record.note(*outcome(d_real, d_fake, w))
        if not learns:
            return loss.detach()
        if penalised:
            weight = PENALISED_EVERY * self.params.critic_gradient_penalty / 2
            loss = loss + weight * slope(d_real, real, self.views.rng)
        return loss

    def tell_truth(self, critic: nn.Module, p: Tensor, y: Tensor) -> Tensor | None:
        """Return a pixel critic's loss: annotations against predictions, voxel by voxel.

        Truth is softened by the prediction, so that it cannot be told by being one-hot; voxels
        that nobody annotated hold the prediction in both maps and are masked in both losses.

        Parameters
        ----------
        critic : Module
            With gradient; gives logits ``(B, 1, *S)``.
        p, y : Tensor
            Probability ``(B, C, *S)``, detached, and target ``(B, *S)`` with IGNORE.

        Returns
        -------
        Tensor or None
            None where nothing is annotated.
        """
        known = annotated(y).unsqueeze(1)
        rows = known.flatten(1).any(1)
        if not bool(rows.any()):
            return None
        p, known = p[rows], known[rows]
        real = soften(one_hot(y[rows], p.shape[1]), p, known)
        return self.tell_apart(critic, real, p, known.float())

    def _both(self, critic: nn.Module, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        logits = self._logits(critic, torch.cat([real, fake]))
        return logits[: len(real)], logits[len(real) :]

    def _logits(self, critic: nn.Module, x: Tensor) -> Tensor:
        """Return logits of `x` under instance noise (Sonderby et al. 2017)."""
        sigma = self.params.critic_noise * max(0.0, 1 - self.fraction)
        if sigma > 0:
            noise = torch.randn(x.shape, generator=self.views.rng)
            x = x + sigma * noise.to(x)
        return torch.as_tensor(critic(x)).float()

    def _pushes(self, critic: nn.Module) -> bool:
        gate = self.params.critic_pushes_from
        return gate <= 0 or record_of(critic).accuracy > gate

    def _learns(self, record: Record) -> bool:
        gate = self.params.critic_learns_until
        return gate >= 1 or record.accuracy < gate

    def _penalises(self, record: Record) -> bool:
        penalty = self.params.critic_gradient_penalty
        return penalty > 0 and int(record.steps) % PENALISED_EVERY == 0
