"""BCP: what changes places, what teaches where, and the pieces of a class."""

from __future__ import annotations

import math

import pytest
import torch
from engine_worlds import make_method, tiny_batch, tiny_plan, tiny_views
from torch import Tensor, nn

from sslseg.core.annotation import IGNORE
from sslseg.data.batch import Batch
from sslseg.methods.bcp import FEWEST, Bcp, exchange, largest_pieces
from sslseg.networks.factory import Maker


class Says(nn.Module):
    """Gives every voxel the same probabilities and remembers what it saw."""

    def __init__(self, *p: float) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(p).log())

    def forward(self, x: Tensor) -> Tensor:
        self.saw = x
        shape = (1, -1, *[1] * (x.ndim - 2))
        return self.logits.view(shape).expand(len(x), -1, *x.shape[2:])


SURE, UNSURE, STUDENT = (0.05, 0.9, 0.05), (0.5, 0.3, 0.2), (0.2, 0.4, 0.4)


def numbered(labelled: int, unlabelled: int, *sides: int) -> Batch:
    """Item i is filled with i; nothing is annotated."""
    count = labelled + unlabelled
    x = torch.arange(count).float().view(-1, 1, *[1] * len(sides)).expand(-1, 1, *sides)
    return Batch(x.clone(), torch.full((count, *sides), IGNORE), labelled)


@pytest.mark.parametrize("sides", [(9, 12), (6, 9, 12)])
def test_boxes_go_both_ways_and_follow_the_patch(sides):
    batch = numbered(1, 1, *sides)
    swap = exchange(batch, tiny_views())
    ours, theirs = swap(batch.x)
    assert torch.equal(ours, 1 - theirs)
    assert ours.sum() == math.prod(2 * side // 3 for side in sides)
    assert torch.equal(swap(batch.x)[:, 0], swap(batch.x[:, 0]))


@pytest.mark.parametrize(("labelled", "unlabelled"), [(1, 3), (3, 1), (2, 2), (4, 3)])
def test_every_item_takes_part(labelled, unlabelled):
    batch = numbered(labelled, unlabelled, 6, 6)
    mixed = exchange(batch, tiny_views())(batch.x)
    assert set(mixed.unique().tolist()) == set(range(labelled + unlabelled))
    pairs, whole = mixed[: 2 * unlabelled], mixed[2 * unlabelled :]
    for item in pairs:
        values = item.unique()
        assert len(values) == 2
        assert values[0] < labelled <= values[1]
    assert [item.unique().tolist() for item in whole] == [[n] for n in range(unlabelled, labelled)]


@pytest.mark.parametrize(("free", "others"), [(1, 0.5), (0.5, 0.5), (0.25, 0.25), (0, FEWEST)])
def test_fewer_items_are_unlabelled_where_most_cases_have_labels(free, others):
    assert Bcp.others(free) == others


def terms(batch: Batch, teacher: tuple[float, ...], fraction=1.0, **params) -> dict[str, Tensor]:
    """Return what a step gives of a teacher who is believed whatever it says of drawn voxels."""
    nets = {"student": Says(*STUDENT), "teacher": Says(*teacher)}
    return (
        make_method("bcp", **({"trust": 0} | params))
        .step(batch, tiny_views(), nets, fraction)
        .terms
    )


def half_known() -> Batch:
    """The labelled item is annotated with class 2 in its left half."""
    batch = numbered(1, 1, 6, 6)
    batch.y[0, :, :3] = 2
    return batch


def test_terms_by_hand():
    """Both are (CE + Dice) / 2; the student gives 0.4 to the truth and to the pseudo-label."""
    found = terms(half_known(), SURE, threshold=0.8)
    by_hand = 0.5 * (-math.log(0.4) + 1 - 2 * 0.4 / (0.4**2 + 1))
    assert found["supervised"].item() == pytest.approx(by_hand, rel=1e-4)
    assert found["consistency"].item() == pytest.approx(by_hand, rel=1e-4)


def test_pseudo_labels_count_half_as_much_as_annotations():
    assert make_method("bcp").ramps()["consistency"](1.0) == 0.5


def test_an_unsure_teacher_makes_no_background():
    found = terms(half_known(), UNSURE, threshold=0.8)
    assert found["consistency"] == 0
    assert found["supervised"] > 0
    believed = terms(half_known(), UNSURE, threshold=0.0)["consistency"]
    assert believed.item() == pytest.approx(
        0.5 * (-math.log(0.2) + 1 - 2 * 0.2 / (0.2**2 + 1)), rel=1e-4
    )


def test_a_voxel_has_a_truth_or_a_pseudo_label_and_every_hidden_one_has_one():
    """The labelled item's own unannotated voxels learn from the teacher too: sparse slices."""
    method, batch = make_method("bcp", threshold=0.0), half_known()
    pseudo = method._pseudo_labels(Says(*SURE), batch)
    swap = exchange(batch, tiny_views())
    known, taught = swap(batch.y) != IGNORE, swap(pseudo) != IGNORE
    assert not (known & taught).any()
    assert (known | taught).all()
    assert (pseudo[0, :, 3:] == 1).all()


def fared(overlap: float, size: float) -> Tensor:
    """What a method remembers of one structure."""
    return torch.tensor([[overlap, 0.0], [size, 0.0]])


def test_a_network_that_misses_what_was_drawn_is_taught_nothing():
    """The step is as at first: labelled items among themselves."""
    method, batch, student = make_method("bcp"), half_known(), Says(*STUDENT)
    method.remember({"trust": fared(0.3, 1.0)})
    nets = {"student": student, "teacher": Says(*SURE)}
    out = method.step(batch, tiny_views(), nets, 1.0)
    assert out.terms["consistency"] == 0
    assert len(student.saw) == batch.labelled
    assert method.alone(1.0), "no unlabelled item is even drawn"


def test_pseudo_labels_count_as_far_as_it_finds_it():
    nets = {"student": Says(*STUDENT), "teacher": Says(*SURE)}
    found = []
    for dice in (0.6, 0.9):  # halfway from 0.4 to 0.8
        method = make_method("bcp")
        method.remember({"trust": fared(dice, 1.0)})
        found.append(method.step(half_known(), tiny_views(), nets, 1.0).terms["consistency"])
    always = terms(half_known(), SURE)["consistency"]
    assert found[0].item() == pytest.approx(0.5 * always.item(), rel=1e-4)
    assert found[1].item() == pytest.approx(always.item())


def test_unlabelled_items_are_drawn_once_the_labels_alone_have_taught_enough():
    method = make_method("bcp")
    method.remember({"trust": fared(0.9, 1.0)})
    assert [fraction for fraction in (0.0, 0.29, 0.3, 1.0) if method.alone(fraction)] == [0.0, 0.29]


def test_the_teacher_looks_at_nothing_that_is_annotated_all_over():
    batch, teacher = numbered(2, 1, 6, 6), Says(*SURE)
    batch.y[0], batch.y[1, :3] = 1, 1
    pseudo = make_method("bcp")._pseudo_labels(teacher, batch)
    assert teacher.saw.flatten(1)[:, 0].tolist() == [1, 2]
    assert (pseudo[0] == IGNORE).all()
    batch.y[:] = 0
    assert (make_method("bcp")._pseudo_labels(Says(*SURE), batch) == IGNORE).all()


def test_what_was_seen_of_the_teacher_goes_on_with_the_run():
    method = make_method("bcp")
    method.remember({"trust": torch.tensor([[1.0, 3.0], [2.0, 4.0]])})
    again = make_method("bcp")
    again.remember(method.memory())
    again.remember({})  # of a checkpoint that is older
    assert again.trust.weight() == method.trust.weight() == pytest.approx((0.625 - 0.4) / 0.4)


def test_a_step_that_is_given_up_leaves_the_trust_as_it_was():
    method = make_method("bcp")
    nets = method.build(Maker(tiny_plan(2).network))
    batch = tiny_batch(2)
    method.step(batch, tiny_views(), nets, 1.0)
    assert method.memory()["trust"].numel() == 0
    method.after_step(nets, 0, 1.0)
    assert method.memory()["trust"].numel() > 0


def test_at_first_labelled_items_exchange_among_themselves():
    batch = numbered(4, 2, 6, 6)
    batch.y[:4] = torch.arange(4).view(4, 1, 1) % 3
    student = Says(*STUDENT)
    out = make_method("bcp").step(batch, tiny_views(3), {"student": student}, 0.0)
    assert set(student.saw.unique().tolist()) == {0.0, 1.0, 2.0, 3.0}
    assert any(len(item.unique()) == 2 for item in student.saw)
    assert torch.equal(student.saw[:, 0].long() % 3, out.y)


def test_largest_pieces_by_hand():
    label = torch.tensor(
        [
            [1, 0, 1, 1, 2],
            [0, 0, 1, 0, 2],
            [2, 0, 0, 1, 2],
        ]
    )
    kept = [
        [0, 1, 1, 1, 1],
        [1, 1, 1, 1, 1],
        [0, 1, 1, 0, 1],
    ]
    found = largest_pieces(torch.stack([label, torch.zeros_like(label)]))
    assert found[0].int().tolist() == kept
    assert found[1].all()


def test_smaller_pieces_are_ignored_not_background():
    torch.manual_seed(0)
    batch = tiny_batch(2)
    nets = make_method("bcp").build(Maker(tiny_plan(2).network))
    every = make_method("bcp", threshold=0.0)._pseudo_labels(nets["teacher"], batch)
    best = make_method("bcp", threshold=0.0, largest=True)._pseudo_labels(nets["teacher"], batch)
    dropped = every != best
    assert dropped.any()
    assert (best[dropped] == IGNORE).all()
