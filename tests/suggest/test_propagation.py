from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from sslseg.core.annotation import BACKGROUND, UNPAINTED
from sslseg.suggest.propagation import REACH, extend, nearest, propagate


def discs(count=9, shift=2.0, side=64, noise=0.05):
    """A textured disc that moves `shift` voxels a slice, its stack and its labels."""
    rng = np.random.default_rng(0)
    rows, columns = np.indices((side, side))
    stack, labels = [], []
    for index in range(count):
        column = columns - shift * index
        inside = (rows - 30) ** 2 + (column - 18) ** 2 < 100
        texture = np.sin(rows / 2.0) * np.cos(column / 2.5)
        stack.append(inside * (2 + texture) + noise * rng.normal(size=inside.shape))
        labels.append(inside * np.where(rows < 30, 1, 2))
    return np.stack(stack), np.stack(labels).astype(np.uint8)


def dice(a, b, value):
    return 2 * ((a == value) & (b == value)).sum() / ((a == value).sum() + (b == value).sum())


def test_labels_follow_what_moves():
    stack, labels = discs()
    found = propagate(stack[0], stack[1], labels[0])
    for value in (1, 2):
        assert dice(found, labels[1], value) > 0.97
        assert dice(found, labels[1], value) > dice(labels[0], labels[1], value)


def test_still_images_give_the_same_labels():
    stack, labels = discs(2, shift=0, noise=0)
    np.testing.assert_array_equal(propagate(stack[0], stack[1], labels[0]), labels[0])


def test_far_slices_are_reached_slice_by_slice():
    stack, labels = discs()
    found = extend(stack, {0: labels[0]}, 6)
    assert dice(found, labels[6], 1) > 0.85
    assert dice(labels[0], labels[6], 1) < 0.45


def test_two_sides_are_blended_by_distance():
    still = np.zeros((9, 20, 20))
    first, last = np.zeros((2, 20, 20), np.uint8)
    first[5:10, 5:10], last[5:10, 8:13] = 1, 2
    for index, near in ((3, first), (5, last)):
        found = extend(still, {0: first, 8: last}, index)
        overlap = (first > 0) & (last > 0)
        assert (found[overlap] == near[overlap]).all()
        # Outside the overlap the nearer side outvotes the other's background.
        np.testing.assert_array_equal(found, near)


def test_an_empty_slice_says_that_the_object_has_ended():
    still, none = np.zeros((9, 20, 20)), np.zeros((20, 20), np.uint8)
    disc = none.copy()
    disc[5:10, 5:10] = 3
    np.testing.assert_array_equal(extend(still, {0: disc, 8: none}, 3), disc)
    assert not extend(still, {0: disc, 8: none}, 5).any()


def test_what_is_unpainted_on_a_partial_slice_outvotes_nothing():
    still, dot = np.zeros((9, 20, 20)), np.zeros((20, 20), np.uint8)
    disc = dot.copy()
    disc[5:10, 5:10], dot[0, 0] = 3, 3
    found = extend(still, {0: disc, 8: dot}, 7, partial={8})
    np.testing.assert_array_equal(found, np.maximum(disc, dot))
    halfway = extend(still, {0: disc, 8: dot}, 4, partial={0, 8})
    np.testing.assert_array_equal(halfway, np.maximum(disc, dot))
    assert not extend(still, {0: disc, 8: dot}, 7, partial={0, 8})[5:10, 5:10].any()


def test_background_that_was_painted_on_a_partial_slice_is_believed():
    """The nearer slice says that the disc is smaller there; what it leaves open the other fills."""
    still, large = np.zeros((9, 20, 20)), np.zeros((20, 20), np.uint8)
    small = large.copy()
    large[4:12, 4:12] = 3
    small[4:12, 4:12], small[6:9, 6:9], small[11] = BACKGROUND, 3, UNPAINTED
    found = extend(still, {0: large, 8: small}, 7, partial={8})
    expected = np.where(small == 3, 3, 0)
    expected[11, 4:12] = 3
    np.testing.assert_array_equal(found, expected)


def test_only_the_nearest_of_each_side_within_reach():
    labels = np.zeros((4, 4), np.uint8)
    known = dict.fromkeys((1, 4, 10, 11, 30), labels)
    assert nearest(known, 6) == [4, 10]
    assert nearest(known, 10) == [4, 11]
    assert nearest(known, 30 + REACH) == [30]
    assert nearest(known, 31 + REACH) == []
    assert not extend(np.zeros((40, 4, 4)), known, 20).any()


def test_the_labels_of_the_slice_itself_are_not_looked_at():
    stack, labels = discs(3)
    wrong = {0: labels[0], 1: np.full_like(labels[0], 7)}
    np.testing.assert_array_equal(extend(stack, wrong, 1), propagate(stack[0], stack[1], labels[0]))


@pytest.mark.parametrize("shape", [(1, 1), (3, 40), (400, 7)])
def test_odd_sizes_and_missing_intensities(shape):
    image = np.full(shape, np.nan)
    labels = np.ones(shape, np.uint8)
    np.testing.assert_array_equal(propagate(image, image, labels), labels)


def test_large_slices_are_thinned_and_still_followed():
    stack, labels = discs(2, shift=6.0, side=64, noise=0)
    big = [np.kron(each, np.ones((6, 6))) for each in (stack[0], stack[1])]
    drawn = [np.kron(each, np.ones((6, 6), np.uint8)) for each in labels]
    assert dice(propagate(big[0], big[1], drawn[0]), drawn[1], 1) > dice(drawn[0], drawn[1], 1)


def test_import_loads_neither_torch_nor_skimage():
    code = (
        "import sys, sslseg.suggest.propagation; "
        "sys.exit(bool({'torch', 'skimage', 'napari'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
