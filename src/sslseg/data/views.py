"""The views a method can ask for: weak, strong, noisy and mixed, drawn on the device.

A step's batch is warped once, images and targets alike (`augmented`); all views of it share that
frame, so that predictions of different views can be compared voxel by voxel.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from sslseg.data.batch import Batch
from sslseg.data.warp import Warp, WarpRange, random_warp

NOISE_DEVIATION, NOISE_LIMIT = 0.1, 0.2


@dataclass(frozen=True)
class CutMix:
    """A box of another item, the same for images, predictions and targets (Yun et al., 2019).

    Parameters
    ----------
    box : Tensor
        ``(B, 1, *S)`` bool: voxels taken from the other item.
    order : Tensor
        ``(B,)``: which other item, on the CPU.
    """

    box: Tensor
    order: Tensor

    def __call__(self, t: Tensor) -> Tensor:
        """Mix ``(B, C, *S)`` or ``(B, *S)``."""
        box = self.box if t.ndim == self.box.ndim else self.box[:, 0]
        return torch.where(box, t[self.order], t)


@dataclass(frozen=True)
class Views:
    """Random views of one step.

    Parameters
    ----------
    rng : Generator
        On the CPU; the only source of randomness.
    span : WarpRange
        How strong the warps are.
    flips : tuple of bool
        Spatial axes along which anatomy may be mirrored.
    """

    rng: torch.Generator
    span: WarpRange
    flips: tuple[bool, ...]

    def warp(self, x: Tensor) -> Warp:
        """Draw a warp for each item of ``(B, C, *S)``."""
        return random_warp(x, self.span, self.flips, self.rng)

    def augmented(self, batch: Batch) -> Batch:
        """Return the batch warped, images and targets alike, with changed intensities."""
        warp = self.warp(batch.x)
        x = self._intensity(warp.image(batch.x), gain=0.3, shift=0.3, gamma=0.4)
        return replace(batch, x=x, y=warp.target(batch.y), plain=batch.x, warp=warp)

    def pasted(self, batch: Batch, share: float) -> Batch:
        """Paste a box of another labelled item, rolled to another place, into labelled items.

        CutMix (Yun et al., ICCV 2019) on images and targets, IGNORE included. Few slices show
        the object at one place only; a network that saw it elsewhere, cut off or missing relies
        on how it looks.

        Parameters
        ----------
        batch : Batch
            Unlabelled items stay as they are.
        share : float
            Expected share of labelled items that get a box.
        """
        count, dims = batch.labelled, tuple(range(1, batch.y.ndim))
        if count == 0 or share <= 0:
            return batch
        x, y = batch.x[:count], batch.y[:count]
        order = self.shuffled(count)
        moves = [int(torch.randint(0, side, (1,), generator=self.rng)) for side in y.shape[1:]]
        chosen = torch.rand(count, generator=self.rng) < share
        box = self.box(x, 0.3, 0.7) & chosen.view(-1, *[1] * (x.ndim - 1)).to(x.device)
        other_x = torch.roll(x[order], moves, tuple(d + 1 for d in dims))
        other_y = torch.roll(y[order], moves, dims)
        mixed_x = torch.cat([torch.where(box, other_x, x), batch.x[count:]])
        mixed_y = torch.cat([torch.where(box[:, 0], other_y, y), batch.y[count:]])
        return replace(batch, x=mixed_x, y=mixed_y)

    def noisy(self, x: Tensor) -> Tensor:
        """Add clipped Gaussian noise, sigma 0.1 within 0.2 (UA-MT's input perturbation)."""
        noise = torch.randn(x.shape, generator=self.rng) * NOISE_DEVIATION
        return x + noise.clamp(-NOISE_LIMIT, NOISE_LIMIT).to(x.device, x.dtype)

    def strong(self, x: Tensor) -> Tensor:
        """Change intensities strongly: contrast, brightness, gamma, blur or low resolution, noise.

        ``(B, C, *S)`` to the same shape and frame.
        """
        changed = self._intensity(x, gain=0.35, shift=0.35, gamma=0.5)
        softened = torch.where(self._coin(x, 0.3), _low_resolution(changed, 2), changed)
        level = self._per_item(x, 0.0, 0.3)
        noise = torch.randn(x.shape, generator=self.rng).to(x.device, x.dtype)
        return torch.where(self._coin(x, 0.5), softened + level * noise, softened)

    def box(self, x: Tensor, low: float = 0.3, high: float = 0.6) -> Tensor:
        """Draw a box for each item: ``(B, 1, *S)`` bool, sides of `low` to `high` of S."""
        sides = x.shape[2:]
        mask = torch.ones((x.shape[0], 1, *sides), dtype=torch.bool)
        for axis, side in enumerate(sides):
            share = low + (high - low) * torch.rand(x.shape[0], generator=self.rng)
            length = (share * side).round().clamp(min=1)
            begin = (torch.rand(x.shape[0], generator=self.rng) * (side - length)).floor()
            place = torch.arange(side).view(1, -1)
            inside = (place >= begin.view(-1, 1)) & (place < (begin + length).view(-1, 1))
            shape = [x.shape[0], 1, *(side if a == axis else 1 for a in range(len(sides)))]
            mask &= inside.view(shape)
        return mask.to(x.device)

    def cutmix(self, x: Tensor) -> CutMix:
        """Draw which box of which other item each item of ``(B, C, *S)`` gets."""
        return CutMix(self.box(x), self.shuffled(x.shape[0]))

    def shuffled(self, count: int) -> Tensor:
        """Return a random order of `count` items, on the CPU."""
        return torch.randperm(count, generator=self.rng)

    def _per_item(self, x: Tensor, low: float, high: float) -> Tensor:
        shape = (x.shape[0], *(1 for _ in x.shape[1:]))
        return (low + (high - low) * torch.rand(shape, generator=self.rng)).to(x.device, x.dtype)

    def _coin(self, x: Tensor, chance: float) -> Tensor:
        return self._per_item(x, 0.0, 1.0) < chance

    def _intensity(self, x: Tensor, gain: float, shift: float, gamma: float) -> Tensor:
        """Random gamma within each item's range, then gain and shift."""
        dims = tuple(range(1, x.ndim))
        low, high = x.amin(dims, keepdim=True), x.amax(dims, keepdim=True)
        span = (high - low).clamp(min=1e-3)
        exponent = torch.exp(self._per_item(x, -gamma, gamma))
        curved = ((x - low) / span).clamp(min=1e-6) ** exponent * span + low
        return curved * self._per_item(x, 1 - gain, 1 + gain) + self._per_item(x, -shift, shift)


def _low_resolution(x: Tensor, factor: int) -> Tensor:
    """Halve the resolution and come back: blur without a kernel, on every device."""
    sides = [max(1, side // factor) for side in x.shape[2:]]
    mode = "bilinear" if x.ndim == 4 else "trilinear"
    small = F.interpolate(x, size=sides, mode="area")
    return F.interpolate(small, size=x.shape[2:], mode=mode, align_corners=False)
