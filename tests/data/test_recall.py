"""Temporal ensembling's memory against a dictionary of voxels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sslseg.data.batch import Place
from sslseg.data.recall import Recall

SHAPE = (5, 6, 4)
PER_CASE = 5 * 6 * 4 * (2 * 2 + 1)
"""Two foreground classes of two bytes and one byte of visits for each voxel."""


def say(size, seed) -> torch.Tensor:
    logits = torch.randn((1, 3, *size), generator=torch.Generator().manual_seed(seed))
    return logits.softmax(1)


def places(axis: int | None) -> list[Place]:
    """Boxes that overlap, leave the volume, and in 2.5-D lie in two slices."""
    if axis is None:
        starts = [(0, 0, 0), (1, 2, 0), (-1, 3, 1), (1, 2, 0)]
        return [Place("a", None, 0, start, SHAPE) for start in starts]
    starts = [((0, 0), 2), ((1, 1), 2), ((-1, 2), 2), ((0, 0), 3)]
    return [Place("a", axis, index, start, SHAPE) for start, index in starts]


def voxels(place: Place, size):
    """Each voxel of the item inside the volume: its index in the item, and in the volume."""
    for here in np.ndindex(*size):
        there = [start + step for start, step in zip(place.start, here, strict=True)]
        if place.axis is not None:
            there.insert(place.axis, place.index)
        if all(0 <= one < side for one, side in zip(there, SHAPE, strict=True)):
            yield here, tuple(there)


@pytest.mark.parametrize(
    ("axis", "size"), [(None, (4, 4, 4)), (0, (4, 5)), (1, (4, 4)), (2, (6, 4))]
)
def test_against_a_dictionary(axis, size):
    recall, z, k = Recall(0.6, 10**6), {}, {}
    for seed, place in enumerate(places(axis)):
        p = say(size, seed)
        recall.write([place], p)
        for here, there in voxels(place, size):
            z[there] = 0.6 * z.get(there, np.zeros(3)) + 0.4 * p[(0, slice(None), *here)].numpy()
            k[there] = k.get(there, 0) + 1
    for place in places(axis):
        found, known = recall.read([place], say(size, 0))
        inside = dict(voxels(place, size))
        for here in np.ndindex(*size):
            visits = k.get(inside.get(here), 0)
            assert known[(0, 0, *here)] == (visits > 0)
            if visits:
                expected = z[inside[here]] / (1 - 0.6**visits)
                assert np.allclose(found[(0, slice(None), *here)], expected, atol=2e-3)
    assert torch.allclose(found.sum(1), torch.ones(()), atol=2e-3)


def test_a_case_never_seen_is_not_known():
    recall = Recall(0.6, 10**6)
    found, known = recall.read(places(1), say((4, 4), 0).expand(4, -1, -1, -1))
    assert known.sum() == 0
    assert torch.equal(found[:, 0], torch.ones(4, 4, 4))


def test_visits_do_not_run_over():
    recall, place, p = Recall(0.5, 10**6), places(1)[0], say((4, 4), 0)
    for _ in range(300):
        recall.write([place], p)
    found, known = recall.read([place], p)
    assert known.all()
    assert torch.allclose(found, p, atol=2e-3)


def test_when_the_room_is_full_the_first_volumes_stay():
    recall, p = Recall(0.6, 2 * PER_CASE), say((4, 4), 0)
    cases = [Place(name, 1, 2, (0, 0), SHAPE) for name in ("a", "b", "c", "a")]
    for place in cases:
        recall.write([place], p)
    assert sorted(recall.sums) == ["a", "b"]
    assert recall.visits["a"].max() == 2
    assert sum(tensor.nbytes for tensor in recall.state().values()) == 2 * PER_CASE


def test_memory_survives_a_checkpoint():
    recall, again = Recall(0.6, 10**6), Recall(0.6, 10**6)
    for place in (*places(1), Place("dotted.name", 1, 0, (0, 0), SHAPE)):
        recall.write([place], say((4, 4), 0))
    again.load(recall.state())
    assert again.state().keys() == recall.state().keys()
    assert all(torch.equal(again.state()[name], t) for name, t in recall.state().items())
    again.write([places(1)[0]], say((4, 4), 1))
    assert not torch.equal(again.sums["a"], recall.sums["a"])
