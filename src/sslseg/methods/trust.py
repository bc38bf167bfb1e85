"""How far pseudo-labels are believed: as far as the network finds what people drew."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from sslseg.losses.masked import annotated, one_hot

DOUBTED = 0.5
"""Share of `Trust.enough` up to which nothing is believed."""

FORGETS = 0.95
"""What is left of a step's counts at the next one: about the last twenty count."""


@dataclass(frozen=True)
class Trust:
    """The running Dice of a network on annotated voxels, structure by structure.

    A step tells of the structures that were drawn in its items: what a network calls a class that
    nobody drew says nothing of those that it finds.

    Where structures are small or steps are few, a teacher is soon sure that all is background; a
    student that believes it unlearns what little the labels taught it.

    Parameters
    ----------
    enough : float
        Mean Dice from which pseudo-labels count fully; up to `DOUBTED` of it not at all. With 0
        they always do.
    counts : Tensor
        Twice the overlap, and the size, of each structure so far: ``(2, C - 1)``.
    """

    enough: float
    counts: Tensor = field(default_factory=lambda: torch.zeros(2, 0))

    @torch.no_grad()
    def after(self, z: Tensor, y: Tensor) -> Trust:
        """Return the trust after logits ``(B, C, *S)`` were compared with targets ``(B, *S)``."""
        classes = z.shape[1]
        truth = one_hot(y, classes)
        said = one_hot(z.argmax(1), classes) * annotated(y).unsqueeze(1)
        dims = [0, *range(2, z.ndim)]
        shown = truth.sum(dims) > 0
        new = torch.stack([2 * (said * truth).sum(dims), (said + truth).sum(dims) * shown])[:, 1:]
        old = self.counts.to(new.device)
        counts = FORGETS * old + new if old.shape == new.shape else new
        return replace(self, counts=counts)

    def weight(self) -> float:
        """Return by what its pseudo-labels count, in [0, 1]; 0 before any structure was seen."""
        if self.enough == 0:
            return 1.0
        overlap, size = self.counts
        seen = size > 0
        if not bool(seen.any()):
            return 0.0
        dice = float((overlap[seen] / size[seen]).mean())
        doubted = DOUBTED * self.enough
        return min(1.0, max(0.0, (dice - doubted) / (self.enough - doubted)))
