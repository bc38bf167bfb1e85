import numpy as np

from sslseg.core.annotation import (
    BACKGROUND,
    IGNORE,
    Annotation,
    SliceState,
    slice_target,
)
from sslseg.core.geometry import Geometry, Plane


def painted(**voxels: int) -> np.ndarray:
    """A 2 x 2 x 2 annotation; keys like v011 name voxels."""
    labels = np.zeros((2, 2, 2), np.uint8)
    for name, value in voxels.items():
        labels[tuple(int(digit) for digit in name[1:])] = value
    return labels


def test_an_untouched_case_says_nothing() -> None:
    annotation = Annotation.empty(Geometry.of((2, 2, 2), np.eye(4)))
    assert (annotation.target() == IGNORE).all()
    assert not annotation.known_background().any()


def test_in_a_partial_slice_only_painted_voxels_teach() -> None:
    labels = painted(v000=1, v010=BACKGROUND)
    target = Annotation(labels, {(Plane.AXIAL, 0): SliceState.PARTIAL}).target()
    assert target[:, :, 0].tolist() == [[1, 0], [IGNORE, IGNORE]]
    assert (target[:, :, 1] == IGNORE).all()


def test_in_a_complete_slice_the_unpainted_is_background() -> None:
    labels = painted(v000=2)
    target = Annotation(labels, {(Plane.AXIAL, 0): SliceState.COMPLETE}).target()
    assert target[:, :, 0].tolist() == [[2, 0], [0, 0]]
    assert (target[:, :, 1] == IGNORE).all()


def test_an_empty_complete_slice_teaches_background() -> None:
    annotation = Annotation(painted(), {(Plane.SAGITTAL, 1): SliceState.COMPLETE})
    target = annotation.target()
    assert (target[1] == 0).all()
    assert (target[0] == IGNORE).all()


def test_a_slice_taken_back_to_none_says_nothing() -> None:
    target = Annotation(painted(), {(Plane.AXIAL, 0): SliceState.NONE}).target()
    assert (target == IGNORE).all()


def test_crossing_planes_add_up() -> None:
    labels = painted(v000=1, v001=254, v111=BACKGROUND)
    states = {
        (Plane.AXIAL, 0): SliceState.COMPLETE,
        (Plane.SAGITTAL, 0): SliceState.PARTIAL,
        (Plane.CORONAL, 1): SliceState.PARTIAL,
    }
    target = Annotation(labels, states).target()
    assert target[:, :, 0].tolist() == [[1, 0], [0, 0]]
    assert target[:, :, 1].tolist() == [[254, IGNORE], [IGNORE, 0]]


def test_slice_target_agrees_with_the_target_of_the_volume() -> None:
    labels = painted(v000=1, v010=BACKGROUND)
    for state in SliceState:
        whole = Annotation(labels, {(Plane.AXIAL, 0): state}).target()
        assert np.array_equal(slice_target(labels[:, :, 0], state), whole[:, :, 0])
