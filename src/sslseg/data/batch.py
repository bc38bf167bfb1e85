"""What a training step is fed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Items of one step, the ones drawn for their annotation first.

    Parameters
    ----------
    x : Tensor
        Images ``(B, Cin, *S)`` float32, z-scored. In 2.5-D the channels are neighbouring slices.
    y : Tensor
        Target ``(B, *S)`` int64; IGNORE where nobody said anything. The only truth there is.
    labelled : int
        How many of the first items hold annotated voxels by construction. The others may too.
    """

    x: Tensor
    y: Tensor
    labelled: int

    @property
    def unlabelled(self) -> int:
        """How many items were drawn without regard to annotation."""
        return self.x.shape[0] - self.labelled

    def to(self, device: torch.device, layout: torch.memory_format) -> Batch:
        """Return the batch on `device`, images in `layout`."""
        x = self.x.to(device, non_blocking=True).contiguous(memory_format=layout)
        return replace(self, x=x, y=self.y.to(device, non_blocking=True))

    def head(self) -> Batch:
        """Return the labelled items alone."""
        return Batch(self.x[: self.labelled], self.y[: self.labelled], self.labelled)
