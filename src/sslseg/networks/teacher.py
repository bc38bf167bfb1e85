"""The EMA teacher."""

from __future__ import annotations

import torch
from torch import nn

MEMORY, LEAST = 0.08, 10.0
"""Share of a run that an average remembers at most, since 100 steps would be most of a short one;
and how many steps it may remember in any."""


def paced(decay: float, step: int, fraction: float) -> float:
    """Return the decay of an average in a run of which `fraction` was done before step `step`.

    At most that which remembers `MEMORY` of the steps that the run will have had, or `LEAST`: a
    decay of 0.99 is kept in runs of 1,250 steps or more.
    """
    if fraction <= 0.0:
        return decay
    return min(decay, 1.0 - 1.0 / max(LEAST, MEMORY * step / fraction))


@torch.no_grad()
def update_teacher(teacher: nn.Module, student: nn.Module, step: int, decay: float) -> None:
    """Move `teacher` towards `student` (Tarvainen & Valpola 2017, eq. 1, with warm-up).

    The decay is ``min(1 - 1 / (step + 1), decay)``: at step 0 the teacher becomes a copy. All
    floating tensors are averaged, batch-norm statistics included, else a teacher in eval mode
    would use statistics of other weights; integer buffers are copied.

    Parameters
    ----------
    teacher, student : Module
        Of the same architecture.
    step : int
        Optimiser steps done before this one.
    decay : float
        In [0, 1).
    """
    alpha = min(1.0 - 1.0 / (step + 1), decay)
    theirs = student.state_dict()
    for name, mine in teacher.state_dict().items():
        if mine.is_floating_point():
            mine.lerp_(theirs[name], 1.0 - alpha)
        else:
            mine.copy_(theirs[name])


def freeze(network: nn.Module) -> nn.Module:
    """Put a network that is never optimised into eval mode, without gradients; return it."""
    return network.eval().requires_grad_(False)


def dropout_on(network: nn.Module) -> None:
    """Let dropout act in a network in eval mode: batch norm keeps its averaged statistics."""
    for module in network.modules():
        if isinstance(module, nn.Dropout | nn.Dropout2d | nn.Dropout3d):
            module.train()
