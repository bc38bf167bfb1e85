"""What the encoder made of each slice, gathered while a volume is predicted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sslseg.core.geometry import Plane
from sslseg.data.targets import grid_index

WIDTH = 64
"""Numbers that describe a slice, whatever the encoder's width, so that cases can be compared."""

SEED = 20201
"""Of the random projection: the same for all models and computers."""

SURE = 0.5
"""Probability of foreground from which a cell of the feature map belongs to the structure."""


class SliceFeatures:
    """Means of the encoder's deepest features over every slice of every plane.

    A slice with predicted foreground is described by the cells that hold some of it, another one
    by all of its cells. Nothing is computed twice: the features are those of the
    first network that predicts. A random projection (Johnson & Lindenstrauss 1984) makes them
    `WIDTH` numbers and keeps distances.

    Parameters
    ----------
    encoders : sequence of Module
        Those that may be run; each returns features, finest first.
    axis : int or None
        The slice axis of a 2.5-D plan, whose windows are one voxel thin there.
    shape : tuple of int
        ``(X, Y, Z)`` of the volume on the training grid.
    """

    def __init__(
        self, encoders: Sequence[nn.Module], axis: int | None, shape: tuple[int, ...]
    ) -> None:
        self._encoders = encoders
        self._axis = axis
        self._shape = shape
        self._seen: list[Tensor] = []
        self._sums: dict[int, Tensor] = {}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """See what the encoders return until the block ends."""

        def see(_module: nn.Module, _inputs: object, features: list[Tensor]) -> None:
            self._seen.append(features[-1])

        with ExitStack() as stack:
            for encoder in self._encoders:
                stack.callback(encoder.register_forward_hook(see).remove)
            yield

    def note(self, probability: Tensor, corners: Sequence[Sequence[int]]) -> None:
        """Add what was seen while these windows were predicted.

        Parameters
        ----------
        probability : Tensor
            ``(B, C, *S)`` of the first member.
        corners : sequence
            For each window the voxel ``(x, y, z)`` of the volume at which it begins; may be
            negative where the volume was padded.
        """
        seen, self._seen = self._seen, []
        if not seen or len(seen[0]) < len(probability):
            return
        features = seen[0][: len(probability)].float()
        foreground = 1 - probability[:, :1].float()
        pool = F.adaptive_max_pool2d if features.ndim == 4 else F.adaptive_max_pool3d
        held = (pool(foreground, features.shape[2:]) > SURE).float()
        cells = torch.cat([features * held, held, features, torch.ones_like(held)], dim=1)
        extent = list(probability.shape[2:])
        if self._axis is not None:
            cells = cells.unsqueeze(self._axis + 2)
            extent.insert(self._axis, 1)
        starts = torch.tensor(corners)
        for axis in range(3):
            others = [a + 2 for a in range(3) if a != axis]
            self._add(axis, cells.sum(others).cpu(), starts[:, axis], extent[axis])

    def _add(self, axis: int, profile: Tensor, starts: Tensor, extent: int) -> None:
        """Add the sums ``(B, K, cells)`` along one axis to the voxels that each cell covers."""
        if bool((starts == starts[0]).all()):  # slices of one window each: one sum serves all
            profile, starts = profile.sum(0, keepdim=True), starts[:1]
        voxels = torch.arange(extent)
        rows = (starts.unsqueeze(1) + voxels).flatten()
        values = profile[..., voxels * profile.shape[2] // extent].transpose(1, 2).flatten(0, 1)
        inside = (rows >= 0) & (rows < self._shape[axis])
        empty = torch.zeros((self._shape[axis], profile.shape[1]))
        self._sums.setdefault(axis, empty).index_add_(0, rows[inside], values[inside])

    def rows(self, shape: tuple[int, int, int]) -> dict[str, npt.NDArray[np.float32]]:
        """Return ``"<plane>.features"`` ``(N, 64)`` for the slices of a grid of `shape`.

        Nothing where no encoder was seen.
        """
        found = {}
        for axis, sums in self._sums.items():
            old, new = shape[axis], self._shape[axis]
            picks = [grid_index(index, old, new) for index in range(old)]
            found[f"{Plane.of_axis(axis)}.features"] = _projected(sums)[picks]
        return found


def _projected(sums: Tensor) -> npt.NDArray[np.float32]:
    """Return ``(N, 64)`` means for sums ``(N, 2 K + 2)`` over held and over all cells."""
    held, every = sums.chunk(2, dim=1)
    chosen = torch.where(held[:, -1:] > 0, held, every)
    means = (chosen[:, :-1] / chosen[:, -1:].clamp(min=1)).numpy()
    matrix = np.random.default_rng(SEED).standard_normal((means.shape[1], WIDTH))
    return np.asarray(means @ (matrix / np.sqrt(WIDTH)), np.float32)
