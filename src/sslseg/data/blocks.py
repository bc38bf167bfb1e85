"""A target in blocks: it takes memory only where somebody said something."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sslseg.core.annotation import IGNORE
from sslseg.data.targets import Target

CUBE, FLAT = 8, 32
"""Sides of a block that is a cube, and of one that is a single voxel thin."""

Numbers = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Blocks:
    """A target ``(X, Y, Z)`` with IGNORE, of which blocks that say nothing are left out.

    Parameters
    ----------
    shape : tuple of int
        ``(X, Y, Z)``.
    table : ndarray of int32
        ``(BX, BY, BZ)``: which one of `pool` lies there. The first one says nothing.
    pool : ndarray of uint8
        ``(N, x, y, z)``: 0 is IGNORE, 1 background, 2 the first class. Zero beyond the volume.
    """

    shape: tuple[int, ...]
    table: npt.NDArray[np.int32]
    pool: Numbers

    @classmethod
    def of(cls, target: Target) -> Blocks:
        """Return a target ``(X, Y, Z)`` of classes up to 254 in blocks."""
        side = _side(target)
        said = np.zeros(_counts(target.shape, side), np.bool_)
        found = [np.zeros((1, *side), np.uint8)]
        for layer, begin in enumerate(range(0, len(target), side[0])):
            tiles = _tiles(target[begin : begin + side[0]], side)
            said[layer] = tiles.any((2, 3, 4))
            found.append(tiles[said[layer]])
        table = np.zeros(said.shape, np.int32)
        table[said] = np.arange(1, said.sum() + 1)
        return cls(target.shape, table, np.concatenate(found))

    def dense(self) -> Target:
        """Return all of it, ``(X, Y, Z)`` int16."""
        return self.box((0, 0, 0), self.shape)

    def box(self, corner: Sequence[int], size: Sequence[int]) -> Target:
        """Return the target of the box of `size` at `corner`, int16; IGNORE outside the volume."""
        low = [max(begin, 0) for begin in corner]
        ends = zip(corner, size, self.shape, strict=True)
        high = [min(begin + length, side) for begin, length, side in ends]
        found = np.zeros(tuple(size), np.int16)
        if all(begin < end for begin, end in zip(low, high, strict=True)):
            there = zip(low, high, corner, strict=True)
            inside = tuple(slice(begin - at, end - at) for begin, end, at in there)
            found[inside] = self._numbers(low, high)
        found += IGNORE  # numbers count from IGNORE on
        return found

    def known(self) -> int:
        """Return how many voxels say something."""
        return int(np.count_nonzero(self.pool))

    def counts(self) -> npt.NDArray[np.intp]:
        """Return how many voxels of each sagittal slice are of class 0, 1, ...: ``(X, 255)``."""
        _, *sides = self.shape
        rows = [
            np.bincount(self._numbers((x, 0, 0), (x + 1, *sides)).ravel(), minlength=256)
            for x in range(self.shape[0])
        ]
        return np.stack(rows)[:, 1:]

    def slices(self, axis: int) -> int:
        """Return how many slices across `axis` hold voxels that say something."""
        others = tuple(each + 1 for each in range(3) if each != axis)
        said = (self.pool != 0).any(others)  # (N, thickness)
        layers = np.moveaxis(self.table, axis, 0).reshape(self.table.shape[axis], -1)
        return sum(int(said[layer].any(0).sum()) for layer in layers)

    def _numbers(self, low: Sequence[int], high: Sequence[int]) -> Numbers:
        """Return the numbers of the box from `low` up to `high`, which lies inside the volume."""
        ranges = zip(low, high, self.pool.shape[1:], strict=True)
        ways = [_along(*each) for each in ranges]
        table = self.table[tuple(blocks for blocks, _, _ in ways)]
        pool = self.pool[(slice(None), *(read for _, read, _ in ways))]
        side = pool.shape[1:]
        whole = np.zeros([n * each for n, each in zip(table.shape, side, strict=True)], np.uint8)
        said = table > 0
        _apart(whole, side)[said] = pool[table[said]]
        return whole[tuple(stays for _, _, stays in ways)]


def _side(target: Target) -> tuple[int, ...]:
    """Return the shape of the blocks.

    As thin as a slice across the axis along which the fewest slices say something; cubes where
    none are silent across any axis, as with whole volumes or slices of several planes.
    """
    known = target != IGNORE
    shares = [float(known.any(others).mean()) for others in ((1, 2), (0, 2), (0, 1))]
    thin = shares.index(min(shares)) if min(shares) < 1 else None
    flat = CUBE if thin is None else FLAT
    return tuple(1 if axis == thin else min(flat, n) for axis, n in enumerate(target.shape))


def _along(begin: int, end: int, side: int) -> tuple[slice, slice, slice]:
    """Return along one axis which blocks a range lies in, what is read of each, what stays of all.

    Of a single block only the range itself is read: of a slice, not the blocks it runs through.
    """
    first, last = begin // side, -(-end // side)
    inside = slice(begin - first * side, end - first * side)
    blocks, every = slice(first, last), slice(None)
    return (blocks, inside, every) if last - first == 1 else (blocks, every, inside)


def _counts(shape: Sequence[int], side: Sequence[int]) -> list[int]:
    """Return how many blocks cover each axis."""
    return [math.ceil(length / each) for length, each in zip(shape, side, strict=True)]


def _tiles(layer: Target, side: Sequence[int]) -> Numbers:
    """Return a target as thick as one block as numbers of blocks, ``(BY, BZ, x, y, z)``."""
    blocks = zip(_counts(layer.shape, side), side, strict=True)
    whole = np.zeros([count * each for count, each in blocks], np.uint8)
    whole[tuple(slice(length) for length in layer.shape)] = layer - IGNORE
    return _apart(whole, side)[0, ...]


def _apart(whole: Numbers, side: Sequence[int]) -> Numbers:
    """Return the view ``(BX, BY, BZ, x, y, z)`` of an array that is made of whole blocks."""
    pairs = zip(whole.shape, side, strict=True)
    split = whole.reshape([n for length, each in pairs for n in (length // each, each)])
    return split.transpose(0, 2, 4, 1, 3, 5)
