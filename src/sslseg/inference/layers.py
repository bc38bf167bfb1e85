"""3-D windows over a volume, layer by layer: all members of all voxels would fill the memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise, product

import torch
import torch.nn.functional as F
from monai.data.utils import compute_importance_map
from torch import Tensor

from sslseg.inference.windows import starts

Window = Callable[[Tensor, Sequence[Sequence[slice]]], Tensor]
"""From windows ``(B, Cin, *patch)`` and the place of each (item, channels, voxels) to what is said
of them, ``(B, K, *patch)``."""


def layers(
    x: Tensor, patch: Sequence[int], at_once: int, window: Window, device: torch.device
) -> Iterator[tuple[int, Tensor]]:
    """Yield the mean of what windows say, of slices that no further window reaches.

    Windows lie, weigh and are added as in MONAI's `sliding_window_inference`, which says the same
    of each voxel; but of the sums only as many slices are held as a window is long.

    Parameters
    ----------
    x : Tensor
        ``(1, Cin, X, Y, Z)``.
    patch : sequence of int
        Sides of a window.
    at_once : int
        Windows in one call of `window`.
    window : callable
        Predicts them on `device`.
    device : torch.device
        Where windows are computed; sums are on the CPU.

    Yields
    ------
    int, Tensor
        Number of the first slice along X, and ``(K, n, Y, Z)``.
    """
    whole, before = padded(x, patch)
    sides = whole.shape[2:]
    rows, *others = (starts(*pair) for pair in zip(sides, patch, strict=True))
    corners, sums = list(product(*others)), _Sums(patch, sides, device)
    inner = [slice(b, b + side) for b, side in zip(before, x.shape[2:], strict=True)]
    for row, following in pairwise([*rows, sides[0]]):
        for first in range(0, len(corners), at_once):
            places = [_place((row, *each), patch) for each in corners[first : first + at_once]]
            taken = torch.cat([whole[tuple(place)] for place in places])
            sums.add(places, window(taken.to(device), places))
        yield row, sums.finished(following - row)[(slice(None), *inner)]


def padded(x: Tensor, patch: Sequence[int]) -> tuple[Tensor, list[int]]:
    """Return images ``(B, C, *S)`` no smaller than `patch`, and how far they were moved along S.

    Smaller ones are repeated beyond their border, on either side alike.
    """
    missing = [max(0, roi - side) for side, roi in zip(x.shape[2:], patch, strict=True)]
    before = [m // 2 for m in missing]
    pairs = zip(reversed(missing), reversed(before), strict=True)
    padding = [voxels for m, b in pairs for voxels in (b, m - b)]
    return (F.pad(x, padding, mode="replicate") if any(padding) else x), before


class _Sums:
    """Weighted sums of windows, over as many slices as a window is long."""

    def __init__(self, patch: Sequence[int], sides: Sequence[int], device: torch.device) -> None:
        self._weight = compute_importance_map(tuple(patch), mode="gaussian", device=device)
        self._count = torch.zeros((1, patch[0], *sides[1:]))
        self._total: Tensor | None = None

    def add(self, places: Sequence[Sequence[slice]], said: Tensor) -> None:
        """Add windows ``(B, K, *patch)`` that begin with the first slice."""
        if self._total is None:
            self._total = torch.zeros((said.shape[1], *self._count.shape[1:]))
        weight, weighed = self._weight.cpu(), (said * self._weight).cpu()
        for (*_, across, down), one in zip(places, weighed, strict=True):
            self._total[:, :, across, down] += one
            self._count[:, :, across, down] += weight

    def finished(self, slices: int) -> Tensor:
        """Return the means ``(K, n, Y, Z)`` of the first slices, and go on without these."""
        assert self._total is not None
        means = self._total[:, :slices] / self._count[:, :slices]
        self._total, self._count = _moved(self._total, slices), _moved(self._count, slices)
        return means


def _place(corner: Sequence[int], patch: Sequence[int]) -> list[slice]:
    """Return item, channels and voxels of a window."""
    voxels = (slice(begin, begin + side) for begin, side in zip(corner, patch, strict=True))
    return [slice(0, 1), slice(None), *voxels]


def _moved(sums: Tensor, slices: int) -> Tensor:
    """Return sums without the first slices, and with as many empty ones at the end."""
    return torch.cat([sums[:, slices:], torch.zeros_like(sums[:, :slices])], 1)
