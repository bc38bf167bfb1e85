"""What a network said earlier about each voxel of the training volumes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from sslseg.data.batch import Place

Slices = tuple[slice, ...]
MOST = 255


@dataclass
class Recall:
    """Averages of past predictions on the training grid (Laine & Aila 2017).

    Z <- a Z + (1 - a) p at every visit of a voxel; read as Z / (1 - a^k), k its visits. A volume
    takes memory once it is visited: ``(C - 1, X, Y, Z)`` float16, as background is what the other
    classes leave, and ``(X, Y, Z)`` uint8 visits. When the room is full, further volumes are not
    remembered. Throwing out old ones instead would keep as many, and every one of them younger.

    Parameters
    ----------
    decay : float
        a, in [0, 1).
    room : int
        Bytes that may be used.
    """

    decay: float
    room: int
    sums: dict[str, Tensor] = field(default_factory=dict)
    visits: dict[str, Tensor] = field(default_factory=dict)

    def read(self, places: Sequence[Place], like: Tensor) -> tuple[Tensor, Tensor]:
        """Return what was said of some boxes.

        Parameters
        ----------
        places : sequence of Place
            One for each item.
        like : Tensor
            ``(B, C, *S)``: shape and device of the answer.

        Returns
        -------
        p, known : Tensor
            ``(B, C, *S)`` float32 probabilities, and ``(B, 1, *S)`` float: 1 where a voxel was
            visited. `p` is background elsewhere.
        """
        foreground = torch.zeros((len(like), like.shape[1] - 1, *like.shape[2:]))
        visits = torch.zeros((len(like), 1, *like.shape[2:]))
        for item, place in enumerate(places):
            if place.case in self.sums:
                there, here = _boxes(place, like.shape[2:])
                foreground[item][:, *here] = _cut(self.sums[place.case], place)[:, *there].float()
                visits[item, 0][here] = _cut(self.visits[place.case], place)[there].float()
        foreground /= (1 - self.decay**visits).clamp(min=1 - self.decay)
        p = torch.cat([(1 - foreground.sum(1, keepdim=True)).clamp(min=0), foreground], dim=1)
        return p.to(like.device), (visits > 0).float().to(like.device)

    def write(self, places: Sequence[Place], p: Tensor) -> None:
        """Add probabilities ``(B, C, *S)`` of the boxes at `places`; voxels outside are left."""
        for place, said in zip(places, p[:, 1:].float().cpu(), strict=True):
            if not self._admit(place, len(said)):
                continue
            there, here = _boxes(place, said.shape[1:])
            sums = _cut(self.sums[place.case], place)[:, *there]
            visits = _cut(self.visits[place.case], place)[there]
            sums.copy_(self.decay * sums.float() + (1 - self.decay) * said[:, *here])
            visits += visits < MOST

    def _admit(self, place: Place, classes: int) -> bool:
        """Make room for a case; tell whether there is some."""
        if place.case not in self.sums:
            taken = sum(t.nbytes for kept in (self.sums, self.visits) for t in kept.values())
            sums = torch.zeros((classes, *place.shape), dtype=torch.float16)
            visits = torch.zeros(place.shape, dtype=torch.uint8)
            if taken + sums.nbytes + visits.nbytes > self.room:
                return False
            self.sums[place.case], self.visits[place.case] = sums, visits
        return True

    def state(self) -> dict[str, Tensor]:
        """Return all tensors by name, for a checkpoint."""
        sums = {f"{case}.sums": tensor for case, tensor in self.sums.items()}
        return sums | {f"{case}.visits": tensor for case, tensor in self.visits.items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state` returned."""
        self.sums = _ending(".sums", state)
        self.visits = _ending(".visits", state)


def _ending(suffix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {k.removesuffix(suffix): v.clone() for k, v in state.items() if k.endswith(suffix)}


def _cut(volume: Tensor, place: Place) -> Tensor:
    """Return the slice of ``(..., X, Y, Z)`` in which the item lies, or all in 3-D; a view."""
    return volume if place.axis is None else volume.select(place.axis - 3, place.index)


def _boxes(place: Place, size: Sequence[int]) -> tuple[Slices, Slices]:
    """Return where an item of `size` lies inside its volume, and that part inside the item."""
    sides = [side for axis, side in enumerate(place.shape) if axis != place.axis]
    there = tuple(
        slice(max(start, 0), min(start + length, side))
        for start, length, side in zip(place.start, size, sides, strict=True)
    )
    here = tuple(
        slice(box.start - start, box.stop - start)
        for box, start in zip(there, place.start, strict=True)
    )
    return there, here
