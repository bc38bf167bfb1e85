import itertools

import numpy as np
import pytest

from sslseg.core.geometry import Geometry, Plane, Reorientation, take_slice


def test_slices_are_counted_along_the_axis_of_their_plane() -> None:
    volume = np.arange(24).reshape(2, 3, 4)
    assert [plane.axis for plane in Plane] == [0, 1, 2]
    assert [Plane.of_axis(axis) for axis in range(3)] == list(Plane)
    assert np.array_equal(take_slice(volume, Plane.SAGITTAL, 1), volume[1])
    assert np.array_equal(take_slice(volume, Plane.CORONAL, 2), volume[:, 2])
    assert np.array_equal(take_slice(volume, Plane.AXIAL, 3), volume[:, :, 3])


def test_a_taken_slice_is_a_view() -> None:
    volume = np.zeros((2, 3, 4))
    take_slice(volume, Plane.CORONAL, 1)[...] = 1
    assert volume.sum() == 8
    assert volume[:, 1].all()


def test_reorientation_and_back_for_all_48_orientations() -> None:
    array = np.arange(24).reshape(2, 3, 4)
    for axes in itertools.permutations(range(3)):
        for flips in itertools.product((False, True), repeat=3):
            way = Reorientation.model_validate({"axes": axes, "flips": flips})
            there = way.to_ras(array)
            assert there.shape == tuple(array.shape[axis] for axis in axes)
            assert np.array_equal(way.to_source(there), array)


def test_reorientation_by_hand() -> None:
    array = np.arange(6).reshape(1, 2, 3)
    way = Reorientation(axes=(2, 0, 1), flips=(True, False, False))
    assert np.array_equal(way.to_ras(array)[:, 0, 0], [2, 1, 0])
    assert np.array_equal(way.to_ras(array)[:, 0, 1], [5, 4, 3])


def test_spacing_and_slice_shape_of_a_turned_grid() -> None:
    turned = np.array([[0.0, -2.0, 0, 0], [0.5, 0.0, 0, 0], [0, 0, 4.0, 0], [0, 0, 0, 1]])
    geometry = Geometry.of((5, 6, 7), turned)
    assert geometry.spacing == (0.5, 2.0, 4.0)
    assert geometry.anisotropy() == 8.0
    assert geometry.slice_shape(Plane.SAGITTAL) == (6, 7)
    assert geometry.slice_shape(Plane.CORONAL) == (5, 7)
    assert geometry.slice_shape(Plane.AXIAL) == (5, 6)
    assert [geometry.slices(plane) for plane in Plane] == [5, 6, 7]


@pytest.mark.parametrize("size", [0.002, 0.01, 0.05, 1.0])
def test_a_whole_voxel_off_is_another_grid_however_small_it_is(size: float) -> None:
    grid, moved = np.diag([size, size, size, 1]), np.diag([size, size, size, 1])
    moved[0, 3] = size
    assert not Geometry.of((5, 5, 5), grid).same_grid(Geometry.of((5, 5, 5), moved))
    moved[0, 3] = size / 50
    assert Geometry.of((5, 5, 5), grid).same_grid(Geometry.of((5, 5, 5), moved))


def test_same_grid_looks_at_the_far_corner() -> None:
    geometry = Geometry.of((101, 5, 5), np.eye(4))
    stretched = np.diag([1.001, 1.0, 1.0, 1.0])
    assert not geometry.same_grid(Geometry.of((101, 5, 5), stretched))
    assert geometry.same_grid(Geometry.of((21, 5, 5), stretched)) is False
    assert Geometry.of((21, 5, 5), np.eye(4)).same_grid(Geometry.of((21, 5, 5), stretched))


@pytest.mark.parametrize("affine", [np.full((4, 4), np.nan), np.eye(3)])
def test_geometry_refuses_what_is_no_grid(affine: np.ndarray) -> None:
    with pytest.raises(ValueError, match="affine"):
        Geometry.of((2, 2, 2), affine)
    with pytest.raises(ValueError, match="shape"):
        Geometry.of((2, 0, 2), np.eye(4))


def test_geometry_survives_json() -> None:
    geometry = Geometry.of((2, 3, 4), np.array([[0.1, 0, 0, 1 / 3], *np.eye(4)[1:].tolist()]))
    assert Geometry.model_validate_json(geometry.model_dump_json()) == geometry
