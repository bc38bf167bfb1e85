"""Sliding-window prediction of whole cases; can be stopped between windows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from monai.inferers import sliding_window_inference
from torch import Tensor, nn

from sslseg.core.control import Control
from sslseg.data.slabs import slab
from sslseg.inference.maps import Maps, maps_of
from sslseg.networks.factory import memory_format

OVERLAP = 0.25
WINDOWS_AT_ONCE = 24 * 48 * 48 * 9
"""Input values in one forward pass; larger windows go one by one."""

SLABS_AT_ONCE = 2**25
"""Input values of the slices gathered before they are reduced to maps; bounds memory."""

Members = Callable[[Tensor], list[Tensor]]


@dataclass(frozen=True)
class Predictor:
    """Runs trained networks over volumes on the training grid.

    Parameters
    ----------
    members : callable
        Window ``(B, Cin, *S)`` to member probabilities, each ``(B, C, *S)``; networks in eval mode.
    critic : Module or None
        Judges the first member; its sigmoid is the confidence.
    classes, axis, context, patch
        As the plan's.
    device : torch.device
        Where windows are computed; results are gathered on the CPU.
    amp : torch.dtype or None
        Mixed-precision type.
    shifts : sequence of int
        Every window is also predicted moved by so many voxels, and the results are averaged; 0
        is where it is. Strided networks answer differently to an image that moved a little.
    """

    members: Members
    critic: nn.Module | None
    classes: int
    axis: int | None
    context: int
    patch: tuple[int, ...]
    device: torch.device
    amp: torch.dtype | None
    shifts: tuple[int, ...] = (0,)

    def volume(self, image: npt.NDArray[np.float16], control: Control) -> Maps:
        """Return the maps of a whole case ``(X, Y, Z)``.

        Raises
        ------
        Cancelled
            When the control asks for it.
        """
        if self.axis is None:
            whole = torch.from_numpy(np.asarray(image, np.float32))[None, None]
            return self._maps(self._slide(whole, control)[:, 0])
        count = image.shape[self.axis]
        per_slice = image.size // count * self.context
        chunk = max(1, SLABS_AT_ONCE // per_slice)
        pieces = [
            self._slices(image, list(range(first, min(first + chunk, count))), control)
            for first in range(0, count, chunk)
        ]
        return Maps.concatenate(pieces).moved(self.axis)

    def plane(
        self, image: npt.NDArray[np.float16], axis: int, index: int, control: Control
    ) -> Maps:
        """Return the maps of one slice, ``(C, H, W)`` and ``(H, W)``, as `volume` would."""
        if axis == self.axis:
            return self._slices(image, [index], control).at(0)
        if self.axis is not None:
            return self.volume(image, control).slice(axis, index)
        reach = self.patch[axis]
        start = min(max(0, index - reach // 2), max(0, image.shape[axis] - reach))
        window: list[slice] = [slice(None)] * 3
        window[axis] = slice(start, start + reach)
        return self.volume(image[tuple(window)], control).slice(axis, index - start)

    def _maps(self, stacked: Tensor) -> Maps:
        return maps_of(stacked, self.classes, self.critic is not None)

    def _slices(self, image: npt.NDArray[np.float16], indices: list[int], control: Control) -> Maps:
        """Return maps of some slices of a 2.5-D plan: ``(C, n, H, W)`` and ``(n, H, W)``."""
        assert self.axis is not None
        slabs = np.stack([slab(image, self.axis, index, self.context) for index in indices])
        return self._maps(self._slide(torch.from_numpy(slabs), control))

    def _slide(self, x: Tensor, control: Control) -> Tensor:
        """Return stacked members, then the critic's logit: ``(M * C [+ 1], B, *S)`` on the CPU.

        The first axis holds members one after the other; the number of classes is the network's.
        """

        def window(patch: Tensor) -> Tensor:
            control.check()
            return self._window(patch)

        at_once = max(1, WINDOWS_AT_ONCE // int(np.prod((x.shape[1], *self.patch))))
        with torch.inference_mode():
            if all(side <= roi for side, roi in zip(x.shape[2:], self.patch, strict=True)):
                out = torch.cat([self._whole(part, window) for part in torch.split(x, at_once)])
            else:
                out = sliding_window_inference(
                    x,
                    self.patch,
                    at_once,
                    window,
                    overlap=OVERLAP,
                    mode="gaussian",
                    padding_mode="replicate",
                    sw_device=self.device,
                    device=torch.device("cpu"),
                )
        return torch.as_tensor(out).float().movedim(1, 0)

    def _whole(self, x: Tensor, window: Callable[[Tensor], Tensor]) -> Tensor:
        """Pad images smaller than the patch by their border, predict, cut back."""
        missing = [roi - side for side, roi in zip(x.shape[2:], self.patch, strict=True)]
        before = [m // 2 for m in missing]
        padding = [
            v for m, b in zip(reversed(missing), reversed(before), strict=True) for v in (b, m - b)
        ]
        padded = torch.nn.functional.pad(x, padding, mode="replicate")
        out = window(padded.to(self.device)).cpu()
        cut = tuple(slice(b, b + side) for b, side in zip(before, x.shape[2:], strict=True))
        return out[(slice(None), slice(None), *cut)]

    def _window(self, patch: Tensor) -> Tensor:
        x = patch.contiguous(memory_format=memory_format(patch.ndim - 2))
        enabled = self.amp is not None
        with torch.autocast(self.device.type, self.amp, enabled=enabled):
            parts = self._averaged(x)
            if self.critic is not None:
                parts.append(self.critic(parts[0]).float())
        return torch.cat([part.float() for part in parts], dim=1)

    def _averaged(self, x: Tensor) -> list[Tensor]:
        """Return the members' mean over all shifts; voxels that moved out count the others."""
        layout = memory_format(x.ndim - 2)
        total: list[Tensor] = []
        count = torch.zeros((1, 1, *x.shape[2:]), device=x.device)
        for shift in self.shifts:
            every = (slice(None), slice(None))
            came = (*every, *(slice(shift, None) for _ in x.shape[2:]))
            went = (*every, *(slice(0, side - shift) for side in x.shape[2:]))
            moved = F.pad(x, (0, shift) * (x.ndim - 2), mode="replicate")[came]
            found = [p.float() for p in self.members(moved.contiguous(memory_format=layout))]
            total = total or [torch.zeros_like(p) for p in found]
            count[came] += 1
            for whole, part in zip(total, found, strict=True):
                whole[came] += part[went]
        return [whole / count for whole in total]
