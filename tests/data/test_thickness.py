"""How many mm drawn structures are across."""

from __future__ import annotations

import numpy as np
import pytest

from sslseg.core.annotation import IGNORE
from sslseg.data.thickness import thinnest


def drawn(*boxes, sides=(40, 40)):
    target = np.zeros(sides, np.int16)
    for value, rows, columns in boxes:
        target[rows, columns] = value
    return target


WIDE, THIN = (1, slice(5, 35), slice(10, 19)), (2, slice(0, 40), slice(30, 33))


@pytest.mark.parametrize(
    ("target", "spacing", "mm"),
    [
        (drawn(WIDE), (1, 1), 9.0),
        (drawn(WIDE), (0.5, 0.5), 4.5),
        (drawn(WIDE, THIN), (1, 1), 3.0),
        (drawn((1, slice(0, 40), slice(0, 3))), (1, 1), 3.0),  # at the border of the image
        (drawn((3, slice(7, 8), slice(7, 8))), (1, 1), 1.0),
    ],
)
def test_as_wide_as_the_widest_circle(target, spacing, mm):
    assert thinnest([(target, spacing)]) == pytest.approx(mm)


def test_a_disc_is_as_wide_as_its_diameter():
    rows, columns = np.ogrid[:60, :60]
    disc = ((rows - 30) ** 2 + (columns - 30) ** 2 <= 20**2).astype(np.int16)
    assert thinnest([(disc, (1, 1))]) == pytest.approx(40, abs=1.5)


def test_the_median_over_the_slices_that_show_it():
    """Ends of an organ are thin everywhere; slices without it say nothing."""
    slices = [drawn((1, slice(5, 5 + n), slice(5, 35))) for n in (1, 9, 11)]
    slices += [drawn(), np.full((40, 40), IGNORE, np.int16)]
    assert thinnest([(target, (1, 1)) for target in slices]) == 9


def test_none_where_nothing_is_drawn():
    assert thinnest([]) is None
    assert thinnest([(drawn(), (1, 1))]) is None
