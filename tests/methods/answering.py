"""Networks that answer what a test wants, whatever they see."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sslseg.core.annotation import IGNORE
from sslseg.data.batch import Batch

Column = tuple[float, ...]
"""Probabilities of the classes at one voxel."""


def probabilities(columns: Sequence[Column], dims: int = 2) -> Tensor:
    """Voxels side by side along the last axis: ``(1, C, 1.., W)``."""
    return torch.tensor(columns).T.reshape(1, -1, *[1] * (dims - 1), len(columns))


class Answers(nn.Module):
    """Says the same probabilities of every item."""

    def __init__(self, *columns: Column, dims: int = 2) -> None:
        super().__init__()
        self.logits = nn.Parameter(probabilities(columns, dims).clamp(min=1e-9).log())

    def forward(self, x: Tensor) -> Tensor:
        return self.logits.expand(x.shape[0], *self.logits.shape[1:])


class InTurn(nn.Module):
    """Says something else of each item it meets, over all calls: the next of `says`."""

    def __init__(self, *says: Answers) -> None:
        super().__init__()
        self.says = nn.ModuleList(says)
        self.met = 0

    def forward(self, x: Tensor) -> Tensor:
        answers = [self.says[self.met + item](x[:1]) for item in range(len(x))]
        self.met += len(x)
        return torch.cat(answers)


def unlabelled(*y: int, dims: int = 2) -> Batch:
    """One unlabelled item of voxels side by side; `y` is what is annotated of them."""
    target = torch.tensor(y).reshape(1, *[1] * (dims - 1), len(y))
    return Batch(torch.zeros((1, *target.shape)), target, 0)


HIDDEN = (IGNORE, IGNORE)
