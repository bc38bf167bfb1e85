"""Sliding-window prediction of whole cases; can be stopped between windows."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from monai.inferers import sliding_window_inference
from torch import Tensor, nn

from sslseg.core.control import Control
from sslseg.data.slabs import slab
from sslseg.inference.features import SliceFeatures
from sslseg.inference.layers import Window, layers, padded
from sslseg.inference.maps import Maps, maps_of
from sslseg.inference.windows import OVERLAP, count, layer, reach
from sslseg.networks.factory import memory_format

WINDOWS_AT_ONCE = 24 * 48 * 48 * 9
"""Input values in one forward pass; larger windows go one by one."""

SLABS_AT_ONCE = 2**25
"""Input values of the slices gathered before they are reduced to maps; bounds memory."""

NEIGHBOURS = 4
"""Slices within this part of a window's length are predicted from the same windows."""

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
    encoders : tuple of Module
        Those that `members` may run, for `volume_and_features`.
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
    encoders: tuple[nn.Module, ...] = ()

    def volume(
        self,
        image: npt.NDArray[np.float16],
        control: Control,
        features: SliceFeatures | None = None,
    ) -> Maps:
        """Return the maps of a whole case ``(X, Y, Z)``; fill `features` where given.

        Raises
        ------
        Cancelled
            When the control asks for it.
        """
        if self.axis is None:
            return self._boxes(image, control, features)
        maps = self._nothing(image.shape)
        slices = image.shape[self.axis]
        chunk = max(1, SLABS_AT_ONCE // (image.size // slices * self.context))
        for first in range(0, slices, chunk):
            indices = list(range(first, min(first + chunk, slices)))
            maps.write(self.axis, first, self._slices(image, indices, control, features))
        return maps

    def volume_and_features(
        self, image: npt.NDArray[np.float16], control: Control
    ) -> tuple[Maps, SliceFeatures]:
        """Return the maps of a whole case, and what the encoder made of its slices."""
        features = SliceFeatures(self.encoders, self.axis, image.shape)
        with features.watching():
            return self.volume(image, control, features), features

    def windows(self, shape: Sequence[int], wanted: Sequence[tuple[int, int]]) -> int:
        """Return how many windows `planes` predicts for some slices of a case of `shape`."""
        box = self._shared(shape, wanted)
        if box is not None:
            return count([side.stop - side.start for side in box], self.patch, self.axis)
        whole = count(shape, self.patch, self.axis)
        return min(whole, sum(self._windows_around(shape, *each) for each in wanted))

    def window_seconds(self) -> float:
        """Return how long one window takes here and now: an empty one is timed, after another."""
        empty = torch.zeros((1, self.context, *self.patch))
        seconds = []
        with torch.inference_mode():
            for _ in range(2):
                began = time.perf_counter()
                self._window(empty.to(self.device)).cpu()
                seconds.append(time.perf_counter() - began)
        return min(seconds)

    def seconds(self, shape: Sequence[int]) -> float:
        """Return about how long `volume` takes over a case of `shape`; some windows are timed."""
        return count(shape, self.patch, self.axis) * self.window_seconds()

    def planes(
        self,
        image: npt.NDArray[np.float16],
        wanted: Sequence[tuple[int, int]],
        control: Control,
    ) -> list[Maps]:
        """Return the maps of some slices, ``(C, H, W)`` and ``(H, W)`` each, as `volume` would.

        Parameters
        ----------
        image : ndarray of float16
            ``(X, Y, Z)``.
        wanted : sequence of (int, int)
            Axis and number of each slice. Where that is less work than the whole volume, a slice
            of the network's own axis is predicted alone, and another one from the layer of windows
            around it, which neighbours share.

        Raises
        ------
        Cancelled
            When the control asks for it.
        """
        if not wanted:
            return []
        if all(axis == self.axis for axis, _ in wanted):
            together = self._slices(image, [index for _, index in wanted], control)
            return [together.at(row) for row in range(len(wanted))]
        box = self._shared(image.shape, wanted)
        if box is not None:
            maps = self.volume(image[box], control)
            return [maps.slice(axis, index - box[axis].start) for axis, index in wanted]
        whole = count(image.shape, self.patch, self.axis)
        if sum(self._windows_around(image.shape, *each) for each in wanted) < whole:
            return [self._alone(image, *each, control) for each in wanted]
        maps = self.volume(image, control)
        return [maps.slice(axis, index) for axis, index in wanted]

    def _shared(
        self, shape: Sequence[int], wanted: Sequence[tuple[int, int]]
    ) -> tuple[slice, ...] | None:
        """Return the layer of windows around several neighbours across one axis.

        None where there is but one slice, and where some would lie near the border of the layer.
        """
        axes, indices = {axis for axis, _ in wanted}, [index for _, index in wanted]
        if len(indices) < 2 or len(axes) != 1 or self.axis in axes:
            return None
        (axis,) = axes
        length = reach(self.patch, self.axis, axis)
        first, last = min(indices), max(indices)
        if last - first > length // NEIGHBOURS:
            return None
        return layer(shape, axis, (first + last) // 2, length)

    def _windows_around(self, shape: Sequence[int], axis: int, index: int) -> int:
        """Return how many windows a slice takes that is predicted alone."""
        if axis == self.axis:
            return count(shape, self.patch, self.axis) // shape[axis]
        box = layer(shape, axis, index, reach(self.patch, self.axis, axis))
        return count([side.stop - side.start for side in box], self.patch, self.axis)

    def _alone(
        self, image: npt.NDArray[np.float16], axis: int, index: int, control: Control
    ) -> Maps:
        """Return the maps of a slice: its own, or from one layer of windows around it."""
        if axis == self.axis:
            return self._slices(image, [index], control).at(0)
        box = layer(image.shape, axis, index, reach(self.patch, self.axis, axis))
        return self.volume(image[box], control).slice(axis, index - box[axis].start)

    def _nothing(self, shape: Sequence[int]) -> Maps:
        return Maps.empty(self.classes, shape, confidence=self.critic is not None)

    def _maps(self, stacked: Tensor) -> Maps:
        return maps_of(stacked, self.classes, self.critic is not None)

    def _boxes(
        self, image: npt.NDArray[np.float16], control: Control, features: SliceFeatures | None
    ) -> Maps:
        """Return the maps of a case of a 3-D plan, made as its slices are finished."""
        x = torch.from_numpy(np.ascontiguousarray(image, np.float32))[None, None]
        if self._fits(x):
            return self._maps(self._slide(x, control, features)[:, 0])
        maps, window = self._nothing(image.shape), self._watched(x, control, features)
        with torch.inference_mode():
            found = layers(x, self.patch, self._at_once(x), window, self.device)
            for first, stacked in found:
                maps.write(0, first, self._maps(stacked))
        return maps

    def _slices(
        self,
        image: npt.NDArray[np.float16],
        indices: list[int],
        control: Control,
        features: SliceFeatures | None = None,
    ) -> Maps:
        """Return maps of some slices of a 2.5-D plan: ``(C, n, H, W)`` and ``(n, H, W)``."""
        assert self.axis is not None
        slabs = np.stack([slab(image, self.axis, index, self.context) for index in indices])
        return self._maps(self._slide(torch.from_numpy(slabs), control, features, indices[0]))

    def _slide(
        self, x: Tensor, control: Control, features: SliceFeatures | None, first: int = 0
    ) -> Tensor:
        """Return stacked members, then the critic's logit: ``(M * C [+ 1], B, *S)`` on the CPU.

        The first axis holds members one after the other; the number of classes is the network's.
        In 2.5-D the items are slices from number `first` on.
        """
        window, at_once = self._watched(x, control, features, first), self._at_once(x)
        with torch.inference_mode():
            if self._fits(x):
                starts = range(0, len(x), at_once)
                out = torch.cat(
                    [self._whole(x, i, min(i + at_once, len(x)), window) for i in starts]
                )
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
                    with_coord=True,
                )
        return torch.as_tensor(out).float().movedim(1, 0)

    def _watched(
        self, x: Tensor, control: Control, features: SliceFeatures | None, first: int = 0
    ) -> Window:
        """Return what predicts windows of `x`, hears of a stop and notes features on the way."""

        def window(patch: Tensor, places: Sequence[Sequence[slice]]) -> Tensor:
            control.check()
            out = self._window(patch)
            if features is not None:
                corners = [self._corner(place, x.shape[2:], first) for place in places]
                features.note(out[:, : self.classes], corners)
            return out

        return window

    def _fits(self, x: Tensor) -> bool:
        """Tell whether one window holds an image ``(B, Cin, *S)``."""
        return all(side <= roi for side, roi in zip(x.shape[2:], self.patch, strict=True))

    def _at_once(self, x: Tensor) -> int:
        return max(1, WINDOWS_AT_ONCE // int(np.prod((x.shape[1], *self.patch))))

    def _corner(self, place: Sequence[slice], sides: Sequence[int], first: int) -> list[int]:
        """Return the voxel of the volume at which a window begins.

        Parameters
        ----------
        place : sequence of slice
            Item, channels and voxels of the window in the padded image.
        sides : sequence of int
            Of the image before it was padded to the patch, half of it before.
        first : int
            Slice number of the first item in 2.5-D.
        """
        missing = [max(0, roi - side) // 2 for side, roi in zip(sides, self.patch, strict=True)]
        corner = [part.start - before for part, before in zip(place[2:], missing, strict=True)]
        if self.axis is not None:
            corner.insert(self.axis, first + place[0].start)
        return corner

    def _whole(self, items: Tensor, begin: int, end: int, window: Window) -> Tensor:
        """Pad images smaller than the patch by their border, predict, cut back."""
        whole, before = padded(items[begin:end], self.patch)
        voxels = [slice(0, roi) for roi in self.patch]
        places = [[slice(i, i + 1), slice(None), *voxels] for i in range(begin, end)]
        out = window(whole.to(self.device), places).cpu()
        cut = tuple(slice(b, b + side) for b, side in zip(before, items.shape[2:], strict=True))
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
