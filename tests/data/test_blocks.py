"""Targets in blocks against arrays, and what they save."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sslseg.core.annotation import IGNORE
from sslseg.data.blocks import CUBE, FLAT, Blocks
from sslseg.data.voxels import Voxels

SHAPE = (19, 41, 70)
SHAPES = [SHAPE, (1, 1, 1), (8, 8, 8), (33, 32, 1), (3, 64, 9)]
KINDS = ["nothing", "one voxel", "slices", "two planes", "scattered", "everything"]


def target(kind: str, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """Classes up to 254 where the kind says, background included."""
    rng = np.random.default_rng(0)
    classes = rng.choice([0, 1, 2, 9, 254], shape)
    known = np.zeros(shape, bool)
    if kind == "one voxel":
        known[tuple(side // 2 for side in shape)] = True
    if kind in ("slices", "two planes"):
        known[..., ::11] = True
    if kind == "two planes":
        known[:, shape[1] // 3] = True
    if kind == "scattered":
        known = rng.random(shape) < 0.02
    if kind == "everything":
        known[...] = True
    return np.where(known, classes, IGNORE).astype(np.int16)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_lost_or_added(kind, shape):
    array = target(kind, shape)
    found = Blocks.of(array)
    assert found.shape == shape
    assert found.dense().dtype == np.int16
    assert np.array_equal(found.dense(), array)
    assert found.known() == (array != IGNORE).sum()
    for axis in range(3):
        said = (np.moveaxis(array, axis, 0) != IGNORE).reshape(shape[axis], -1).any(1)
        assert found.slices(axis) == said.sum()


@given(
    kind=st.sampled_from(KINDS),
    corner=st.tuples(*[st.integers(-30, side + 10) for side in SHAPE]),
    size=st.tuples(*[st.integers(1, 60)] * 3),
    thin=st.sampled_from([None, 0, 1, 2]),
)
@settings(max_examples=100, deadline=None)
def test_a_box_is_that_of_the_array_and_knows_nothing_outside(kind, corner, size, thin):
    size = tuple(1 if axis == thin else length for axis, length in enumerate(size))
    array = target(kind)
    wide = np.pad(array, 90, constant_values=IGNORE)
    expected = wide[tuple(slice(90 + c, 90 + c + n) for c, n in zip(corner, size, strict=True))]
    found = Blocks.of(array).box(corner, size)
    assert found.dtype == np.int16
    assert np.array_equal(found, expected)


def nbytes(blocks: Blocks) -> int:
    return blocks.table.nbytes + blocks.pool.nbytes


@pytest.mark.parametrize("axis", range(3))
def test_slices_of_one_plane_take_the_memory_of_their_voxels(axis):
    array = np.full((128, 96, 160), IGNORE, np.int16)
    np.moveaxis(array, axis, 0)[5:90:20] = 1
    found = Blocks.of(array)
    sides = tuple(1 if each == axis else FLAT for each in range(3))
    assert found.pool.shape[1:] == sides
    assert found.pool.nbytes == found.known() + FLAT**2
    assert nbytes(found) < array.nbytes / 20


def test_slices_of_several_planes_take_a_part_of_the_volume():
    array = np.full((128, 96, 160), IGNORE, np.int16)
    array[:, :, 30], array[:, 50], array[64] = 0, 1, 2
    found = Blocks.of(array)
    assert found.pool.shape[1:] == (CUBE,) * 3
    assert nbytes(found) < array.nbytes / 6


def test_a_whole_volume_takes_a_byte_for_each_voxel():
    array = np.zeros((64, 64, 64), np.int16)
    assert nbytes(Blocks.of(array)) < 1.02 * array.size


@pytest.mark.parametrize("kind", KINDS[1:])
def test_every_voxel_is_found_by_its_number(kind):
    array = target(kind, (9, 11, 13))
    voxels = Voxels(Blocks.of(array))
    places = np.argwhere(array != IGNORE)
    values = array[tuple(places.T)]
    assert len(voxels) == voxels.count() == len(places)
    assert [voxels.at(row).tolist() for row in range(len(places))] == places.tolist()
    assert list(voxels.classes) == np.unique(values).tolist()
    for value in voxels.classes:
        mine = places[values == value].tolist()
        assert voxels.count(value) == len(mine)
        assert [voxels.at(row, value).tolist() for row in range(len(mine))] == mine


@pytest.mark.parametrize("nothing", [None, Blocks.of(target("nothing"))])
def test_without_annotations_there_are_no_voxels(nothing):
    assert len(Voxels(nothing)) == 0
    assert Voxels(nothing).classes == ()
