"""How unsure a model is of a case, in one number."""

from __future__ import annotations

import numpy as np
import pytest

from sslseg.core.prediction import mean_uncertainty


@pytest.mark.parametrize(("place", "voxels"), [(10, 5**3), (0, 3**3), (19, 3**3), (1, 4**3)])
def test_uncertainty_is_averaged_where_the_structure_is(place: int, voxels: int) -> None:
    labels = np.zeros((20, 20, 20), np.uint8)
    labels[place, place, place] = 2
    uncertainty = np.zeros(labels.shape, np.float16)
    uncertainty[place, place, place] = 1
    assert mean_uncertainty(labels, uncertainty) == pytest.approx(1 / voxels)


def test_nothing_found_is_no_structure_to_be_unsure_of() -> None:
    labels = np.zeros((3, 4, 5), np.uint8)
    assert mean_uncertainty(labels, np.ones(labels.shape, np.float16)) is None
