from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from sslseg.core.annotation import IGNORE
from sslseg.losses.nearness import nearness, steps_to_annotation


@pytest.mark.parametrize("sides", [(7, 9), (4, 5, 6)])
def test_steps_are_city_blocks_to_the_nearest_annotated_voxel(sides):
    rng = torch.Generator().manual_seed(0)
    y = torch.where(torch.rand((3, *sides), generator=rng) < 0.06, 0, IGNORE)
    places = np.indices(sides).reshape(len(sides), -1).T
    for item, found in zip(y, steps_to_annotation(y), strict=True):
        known = np.argwhere(item.numpy() != IGNORE)
        expected = cdist(places, known, "cityblock").min(1).reshape(sides)
        assert np.array_equal(found.numpy(), expected)


def test_beside_two_slices_steps_count_slices():
    y = torch.full((1, 4, 8, 4), IGNORE)
    y[:, :, 1], y[:, :, 5] = 2, 0
    assert steps_to_annotation(y)[0, 2, :, 3].tolist() == [1, 0, 1, 2, 1, 0, 1, 2]
    expected = torch.tensor([0.8, 1, 0.8, 0.64, 0.8, 1, 0.8, 0.64])
    assert torch.allclose(nearness(y, 0.8)[0, 0, 2, :, 3], expected)


def test_items_without_annotation_are_trusted_wholly():
    y = torch.full((2, 3, 3), IGNORE)
    y[0, 1, 1] = 0
    assert torch.isinf(steps_to_annotation(y)[1]).all()
    trust = nearness(y, 0.5)
    assert torch.equal(trust[1], torch.ones(1, 3, 3))
    assert trust[0, 0, 0].tolist() == [0.25, 0.5, 0.25]


def test_a_decay_of_one_trusts_all_alike():
    y = torch.full((1, 3, 3), IGNORE)
    y[0, 0, 0] = 1
    assert torch.equal(nearness(y, 1.0), torch.ones(1, 1, 3, 3))
