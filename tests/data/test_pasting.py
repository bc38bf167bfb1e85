"""What is pasted into labelled items: one box, image and target alike, from one other item."""

from __future__ import annotations

import math

import pytest
import torch
from engine_worlds import tiny_views
from torch import Tensor

from sslseg.core.annotation import IGNORE
from sslseg.data.batch import Batch

SIDES = {2: (10, 20), 3: (10, 20, 8)}


def target_of(number: Tensor) -> Tensor:
    """Every third voxel is not annotated; the others are called by their number."""
    return torch.where(number % 3 == 0, IGNORE, number)


def numbered(labelled: int, unlabelled: int, sides: tuple[int, ...]) -> Batch:
    """All voxels of all items are numbered, in the second channel by the negative."""
    count = labelled + unlabelled
    number = torch.arange(count * math.prod(sides)).view(count, *sides)
    return Batch(torch.stack([number, -number], 1).float(), target_of(number), labelled)


@pytest.mark.parametrize("dims", [2, 3])
def test_image_and_target_stay_together(dims):
    batch = numbered(6, 3, SIDES[dims])
    found = tiny_views(dims=dims).pasted(batch, 1.0)
    assert not torch.equal(found.x, batch.x)
    assert torch.equal(found.x[:, 1], -found.x[:, 0])
    assert torch.equal(found.y, target_of(found.x[:, 0].long()))


@pytest.mark.parametrize("dims", [2, 3])
def test_unlabelled_items_stay_as_they_are(dims):
    batch = numbered(6, 3, SIDES[dims])
    found = tiny_views(dims=dims).pasted(batch, 1.0)
    assert found.labelled == 6
    assert torch.equal(found.x[6:], batch.x[6:])
    assert torch.equal(found.y[6:], batch.y[6:])
    lent = found.x[:6, 0].long() // math.prod(SIDES[dims])
    assert int(lent.max()) < 6, "nor do they lend anything"


@pytest.mark.parametrize("dims", [2, 3])
def test_each_gets_a_box_of_one_other_rolled_to_another_place(dims):
    sides = SIDES[dims]
    found = tiny_views(dims=dims).pasted(numbered(6, 0, sides), 1.0)
    here = torch.stack(torch.meshgrid(*map(torch.arange, sides), indexing="ij"))
    size = torch.tensor(sides).view(-1, *[1] * dims)
    lenders, moves = [], set()
    for item, number in enumerate(found.x[:, 0].long()):
        there = torch.stack(torch.unravel_index(number % math.prod(sides), sides))
        moved = (here - there) % size
        foreign = (number // math.prod(sides) != item) | (moved != 0).any(0)
        lengths = [int(foreign.sum(axis).max()) for axis in range(dims)]
        assert all(0.25 * n <= length <= 0.75 * n for n, length in zip(sides, lengths, strict=True))
        assert int(foreign.sum()) == math.prod(lengths), "a box"
        (lender,) = (number[foreign] // math.prod(sides)).unique().tolist()
        lenders.append(lender)
        moves |= {tuple(move) for move in moved[:, foreign].T.tolist()}
    assert sorted(lenders) == list(range(6))
    assert len(moves) == 1, "as a whole"
    assert any(moves.pop())


@pytest.mark.parametrize(("share", "low", "high"), [(0.0, 0, 0), (0.5, 70, 130), (1.0, 200, 200)])
def test_so_many_items_get_a_box(share, low, high):
    batch = numbered(200, 0, SIDES[2])
    found = tiny_views().pasted(batch, share)
    changed = (found.x != batch.x).flatten(1).any(1).sum().item()
    assert low <= changed <= high


def test_without_labelled_items_nothing_is_pasted():
    batch = numbered(0, 3, SIDES[2])
    assert tiny_views().pasted(batch, 1.0) is batch
