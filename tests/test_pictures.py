"""Slices as pictures, against colours and places counted by hand."""

from __future__ import annotations

import numpy as np

from sslseg import pictures


def test_grey_spans_black_to_white_whatever_the_units() -> None:
    slice_ = np.linspace(-1000, 3000, 10_000).reshape(100, 100)
    shown = pictures.grey(slice_)
    assert shown.shape == (100, 100, 3)
    assert shown.min() == 0
    assert shown.max() == 255
    assert (np.diff(shown[:, 0, 0].astype(int)) >= 0).all()


def test_grey_of_a_constant_slice_is_black() -> None:
    assert pictures.grey(np.full((4, 5), 7)).max() == 0


def test_overlay_mixes_half_and_half_where_something_is_labelled() -> None:
    base = np.full((1, 3, 3), 100, np.uint8)
    shown = pictures.overlay(base, np.array([[0, 1, 2]]), ["#ff0000", "#0000c8"])
    np.testing.assert_array_equal(shown[0], [[100, 100, 100], [177, 50, 50], [50, 50, 150]])


def test_heat_runs_from_black_to_light_yellow() -> None:
    shown = pictures.heat(np.array([[0.0, 0.5, 1.0]], np.float16))
    np.testing.assert_array_equal(shown[0], [[0, 0, 4], [183, 55, 121], [252, 253, 191]])


def test_panels_show_front_up_and_the_patients_right_on_the_left() -> None:
    panel = np.zeros((2, 3, 3), np.uint8)  # X: left, right; Y: back to front
    panel[1, 2] = 255  # right, front
    shown = pictures.side_by_side([panel, panel], zoom=2)
    assert shown.shape == (6, 2 * (2 * 2) + 2, 3)
    assert (shown[:2, :2] == 255).all()
    assert (shown[:2, 6:8] == 255).all()
    assert shown.sum() == 2 * 4 * 3 * 255
