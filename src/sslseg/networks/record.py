"""How a critic fares."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

MEMORY = 0.95
"""Of the running means: about twenty steps."""

WINS, LOSES = 0.1, 0.68
"""Cross-entropy below which a critic leaves nothing to learn, and above which it knows nothing
(authors of published code call 0.2 to 0.5 healthy)."""


class Record(nn.Module):
    """Running means of a critic's loss and accuracy. Buffers: they are saved with its weights.

    `loss` is the plain cross-entropy of its logits, whatever loss it learns from. `winning` and
    `losing` count the steps in a row for which it was out of bounds.
    """

    loss: Tensor
    real: Tensor
    fake: Tensor
    steps: Tensor
    winning: Tensor
    losing: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("loss", torch.tensor(math.log(2)))
        for name in ("real", "fake"):
            self.register_buffer(name, torch.tensor(0.5))
        for name in ("steps", "winning", "losing"):
            self.register_buffer(name, torch.tensor(0))

    @torch.no_grad()
    def note(self, loss: Tensor, real: Tensor, fake: Tensor) -> None:
        """Add one step's cross-entropy and shares told; nothing where one is not finite."""
        if not bool(torch.isfinite(torch.stack([loss, real, fake])).all()):
            return
        for mine, value in ((self.loss, loss), (self.real, real), (self.fake, fake)):
            mine.lerp_(value.to(mine), 1 - MEMORY)
        self.steps += 1
        self.winning.copy_((self.winning + 1) * (self.loss < WINS))
        self.losing.copy_((self.losing + 1) * (self.loss > LOSES))

    @property
    def accuracy(self) -> float:
        """Share of real and fake maps that it told, each counting half."""
        return float(0.5 * (self.real + self.fake))
