"""Exact symmetries of a box: they move voxels and interpolate nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor


@dataclass(frozen=True)
class Turn:
    """Quarter turns in one plane, then mirrored axes; moves tensors as `Warp` does.

    Parameters
    ----------
    plane : tuple of int
        The two spatial axes of the turn, counted from the end (-1 is the last).
    quarters : int
        How often it turns by 90 degrees; odd ones need equal sides.
    mirrored : tuple of int
        Spatial axes that are mirrored afterwards, counted from the end.
    """

    plane: tuple[int, int] = (-2, -1)
    quarters: int = 0
    mirrored: tuple[int, ...] = ()

    def image(self, x: Tensor) -> Tensor:
        """Move ``(..., *S)``."""
        turned = torch.rot90(x, self.quarters, self.plane)
        return turned.flip(self.mirrored) if self.mirrored else turned

    def target(self, y: Tensor) -> Tensor:
        """Move a target ``(B, *S)``."""
        return self.image(y)

    def validity(self) -> Tensor:
        """Return 1, for every voxel: nothing is read from outside."""
        return torch.ones(())


def random_turn(sides: Sequence[int], flips: Sequence[bool], rng: torch.Generator) -> Turn:
    """Draw a turn of a box of `sides` that keeps left left unless `flips` allows otherwise.

    By 90, 180 or 270 degrees in a plane whose sides are equal, by 180 in any other.

    Parameters
    ----------
    sides : sequence of int
        S.
    flips : sequence of bool
        Per spatial axis, whether anatomy may be mirrored along it.
    rng : Generator
        On the CPU.
    """
    planes = list(combinations(range(-len(sides), 0), 2))
    plane = planes[int(torch.randint(0, len(planes), (), generator=rng))]
    quarter = int(torch.randint(1, 4, (), generator=rng))
    heads = torch.rand(len(sides), generator=rng) < 0.5
    mirrored = tuple(axis for axis in range(-len(sides), 0) if flips[axis] and bool(heads[axis]))
    square = sides[plane[0]] == sides[plane[1]]
    return Turn(plane, quarter if square else 2, mirrored)
