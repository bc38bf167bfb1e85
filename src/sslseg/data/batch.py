"""What a training step is fed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sslseg.data.warp import Warp


@dataclass(frozen=True)
class Place:
    """Where an item was cut.

    Parameters
    ----------
    case : str
        Name of the case.
    axis, index : int or None, int
        In 2.5-D the RAS axis across which the slice lies, and its number; None and 0 in 3-D.
    start : tuple of int
        First voxel of the patch along each of its axes on the training grid; negative where the
        patch is larger than the volume.
    shape : tuple of int
        ``(X, Y, Z)`` of the case on the training grid.
    """

    case: str
    axis: int | None
    index: int
    start: tuple[int, ...]
    shape: tuple[int, int, int]


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
        How many of the first items hold annotated voxels by construction. The others may too. In
        domain adaptation these are of the source.
    places : tuple of Place
        Where each item was cut, before any warp.
    plain : Tensor or None
        Images ``(B, Cin, *S)`` as cut, before warp and intensity changes; None: `x` is.
    warp : Warp or None
        From the frame of `plain` to that of `x`; None: they are the same.
    home : int
        How many items after the labelled ones are of cases like theirs, drawn without regard to
        annotation: annotated volumes, or the source domain.
    """

    x: Tensor
    y: Tensor
    labelled: int
    places: tuple[Place, ...] = ()
    plain: Tensor | None = None
    warp: Warp | None = None
    home: int = 0

    @property
    def like(self) -> slice:
        """The items that a critic of streams calls real: of `home`, or labelled without those.

        Labelled items lie around the object and may hold pasted boxes: who knows these by that has
        learnt nothing about volumes or domains.
        """
        return slice(self.labelled if self.home else 0, self.labelled + self.home)

    @property
    def unlike(self) -> slice:
        """The items that such a critic is to tell from `like`: all of other cases."""
        return slice(self.labelled + self.home, len(self.x))

    @property
    def unlabelled(self) -> int:
        """How many items were drawn without regard to annotation."""
        return self.x.shape[0] - self.labelled

    def to(self, device: torch.device, layout: torch.memory_format) -> Batch:
        """Return the batch on `device`, images in `layout`."""
        x = self.x.to(device, non_blocking=True).contiguous(memory_format=layout)
        return replace(self, x=x, y=self.y.to(device, non_blocking=True))

    def head(self) -> Batch:
        """Return the labelled items alone, without where they come from."""
        return Batch(self.x[: self.labelled], self.y[: self.labelled], self.labelled)
