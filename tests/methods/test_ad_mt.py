"""AD-MT: turns, the ensemble of teachers, conflicts, and views that fit their labels."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from answering import Reads, bright_and_dark
from engine_worlds import make_method, tiny_plan, tiny_views
from torch import Tensor, nn

from sslseg.core.annotation import IGNORE
from sslseg.data.batch import Batch
from sslseg.methods.ad_mt import agreed, whose_turn
from sslseg.networks.factory import Maker


class Says(nn.Module):
    """Gives the same probabilities to every voxel."""

    def __init__(self, *p: float) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(p).log())

    def forward(self, x: Tensor) -> Tensor:
        return self.logits.view(1, -1, 1, 1).expand(len(x), -1, *x.shape[2:])


def nets(first: nn.Module, second: nn.Module, student: nn.Module) -> dict[str, nn.Module]:
    return {"teacher_1": first, "teacher_2": second, "student": student}


def answer(first: tuple[float, ...], second: tuple[float, ...], student: tuple[float, ...]):
    label, sure = agreed(nets(Says(*first), Says(*second), Says(*student)), torch.zeros(1, 1, 1, 1))
    return label.item(), sure.item()


def bits(p: tuple[float, ...]) -> float:
    return -sum(v * math.log2(v) for v in p)


AGREE = (0.7, 0.2, 0.1), (0.6, 0.3, 0.1)
CONFLICT = (0.8, 0.1, 0.1), (0.3, 0.5, 0.2)


@pytest.mark.parametrize("pair", [AGREE, CONFLICT])
def test_the_surer_teacher_weighs_more(pair):
    first, second = pair
    a, b = math.exp(-bits(first)), math.exp(-bits(second))
    by_hand = (a * first[0] + b * second[0]) / (a + b)
    label, sure = answer(first, second, (0.4, 0.3, 0.3))
    assert label == 0
    assert sure == pytest.approx(by_hand, rel=1e-4)


def test_in_a_conflict_a_surer_student_decides():
    assert answer(*CONFLICT, (0.05, 0.05, 0.9)) == (2, pytest.approx(0.9))
    assert answer(*CONFLICT, (0.05, 0.9, 0.05)) == (1, pytest.approx(0.9))


def test_a_student_does_not_decide_otherwise():
    """Neither against teachers who agree, nor when less sure than they."""
    assert answer(*AGREE, (0.01, 0.01, 0.98))[0] == 0
    assert answer(*CONFLICT, (0.2, 0.2, 0.6))[0] == 0


def test_a_student_that_sides_with_them_lends_no_confidence():
    assert answer(*CONFLICT, (0.99, 0.005, 0.005))[1] < 0.8


def test_turns_change_at_random_within_the_longest_period():
    turns = [whose_turn(step / 3000, 0.02) for step in range(3000)]
    changes = [0, *(s for s in range(1, 3000) if turns[s] != turns[s - 1]), 3000]
    lengths = [b - a for a, b in pairwise(changes)]
    assert max(lengths) <= 60
    assert len(set(lengths)) > 10
    assert 1200 < sum(turns) < 1800


def test_short_runs_have_turns_too():
    turns = {whose_turn(step / 100, 0.02) for step in range(30, 100)}
    assert turns == {0, 1}


def follow(method, networks: dict[str, nn.Module], step: int, fraction: float) -> set[str]:
    """Return which teachers moved."""
    before = {n: {k: v.clone() for k, v in networks[n].state_dict().items()} for n in networks}
    method.after_step(networks, step, fraction)
    return {
        name
        for name in networks
        if any(not torch.equal(v, before[name][k]) for k, v in networks[name].state_dict().items())
    }


def test_one_teacher_follows_at_a_time():
    torch.manual_seed(0)
    method = make_method("ad-mt")
    networks = method.build(Maker(tiny_plan(2).network))
    assert follow(method, networks, 0, 0.0) == {"teacher_1", "teacher_2"}
    for step in range(1, 40):
        with torch.no_grad():
            for value in networks["student"].state_dict().values():
                value += 1
        turn = whose_turn(step / 40, 0.02)
        assert follow(method, networks, step, step / 40) == {f"teacher_{turn + 1}"}


def test_each_teacher_keeps_the_pace_of_one_that_follows_always():
    """The share of the old weights after two steps, one of them its own: decay^2."""
    method = make_method("ad-mt", ema_decay=0.9)
    networks = nets(nn.Linear(1, 1), nn.Linear(1, 1), nn.Linear(1, 1))
    for name, value in (("teacher_1", 1.0), ("teacher_2", 1.0), ("student", 0.0)):
        nn.init.constant_(networks[name].weight, value)
    fraction = fraction_of(0)
    method.after_step(networks, 1000, fraction)
    assert networks["teacher_1"].weight.item() == pytest.approx(0.81)
    assert networks["teacher_2"].weight.item() == 1


def test_statistics_of_batch_norm_follow_too():
    torch.manual_seed(0)
    method = make_method("ad-mt")
    networks = method.build(Maker(tiny_plan(2).network))
    networks["student"].train()(torch.randn((4, 3, 8, 6)) + 3)
    method.after_step(networks, 0, 0.0)
    mine, theirs = networks["teacher_2"].state_dict(), networks["student"].state_dict()
    key = next(k for k in mine if k.endswith("running_mean"))
    assert torch.equal(mine[key], theirs[key])


def fraction_of(turn: int) -> float:
    return next(step / 1000 for step in range(600, 1000) if whose_turn(step / 1000, 0.02) == turn)


def test_labels_are_mixed_along_with_the_image():
    """Whatever box lands where, what a voxel shows is what it is called.

    The published code compares an unmixed student with mixed teachers in these periods.
    """
    student = Reads()
    networks = nets(Reads(), Reads(), student)
    out = make_method("ad-mt").step(bright_and_dark(), tiny_views(), networks, fraction_of(1))
    view = student.saw[1:]
    assert any(len(item.unique()) == 2 for item in view)
    assert set(view.unique().tolist()) == {-1.0, 1.0}
    by_hand = 6 / 6 * math.log(1 + math.exp(-10))
    assert out.terms["consistency"].item() == pytest.approx(by_hand, rel=1e-2)


def test_in_the_other_periods_intensities_change_and_nothing_is_mixed():
    student = Reads()
    networks = nets(Reads(), Reads(), student)
    make_method("ad-mt").step(bright_and_dark(), tiny_views(), networks, fraction_of(0))
    view = student.saw[1:]
    assert not set(view.unique().tolist()) <= {-1.0, 1.0}
    apart = view.flatten(1).mean(1)
    assert (apart[0::2] > 0).all()
    assert (apart[1::2] < 0).all()


def test_unsure_teachers_teach_nothing():
    pair = Batch(torch.zeros((2, 1, 1, 2)), torch.full((2, 1, 2), IGNORE), 1)
    networks = nets(Says(0.5, 0.3, 0.2), Says(0.5, 0.3, 0.2), Says(0.2, 0.4, 0.4))
    out = make_method("ad-mt").step(pair, tiny_views(), networks, 1.0)
    assert out.terms["consistency"] == 0


def test_the_student_is_left_in_train_mode_and_its_statistics_alone():
    """Its own answer to the conflict comes from a pass that leaves no trace."""
    torch.manual_seed(0)
    networks = make_method("ad-mt").build(Maker(tiny_plan(2).network))
    student = networks["student"].train()
    before = {k: v.clone() for k, v in student.state_dict().items()}
    agreed(networks, torch.randn((2, 3, 8, 6)))
    assert student.training
    assert all(torch.equal(v, before[k]) for k, v in student.state_dict().items())
