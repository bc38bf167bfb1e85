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


class Reads(nn.Module):
    """Class 1 where the image is positive, with certainty 5 either way; remembers what it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(5.0))

    def forward(self, x: Tensor) -> Tensor:
        self.saw = x
        return torch.cat([-x, x], 1).sign() * self.scale


def bright_and_dark() -> Batch:
    """One labelled and six unlabelled items, half of them bright, half dark."""
    x = torch.tensor([0.0, 1, -1, 1, -1, 1, -1]).view(7, 1, 1, 1).expand(7, 1, 8, 6)
    return Batch(x.clone(), torch.full((7, 8, 6), IGNORE), 1)
