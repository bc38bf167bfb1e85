"""How far pseudo-labels are believed: the running Dice on what people drew."""

from __future__ import annotations

import pytest
import torch

from sslseg.core.annotation import IGNORE
from sslseg.methods.trust import FORGETS, Trust


def says(*labels, classes=3):
    """Logits ``(1, C, N)`` that are surest of these labels."""
    return torch.nn.functional.one_hot(torch.tensor([labels]), classes).movedim(-1, 1).float()


def drawn(*labels):
    return torch.tensor([labels])


def weight(*pairs, enough=0.8):
    trust = Trust(enough)
    for said, truth in pairs:
        trust = trust.after(says(*said), drawn(*truth))
    return trust.weight()


@pytest.mark.parametrize(
    ("said", "truth", "dice"),
    [
        ((1, 1, 0, 0), (1, 1, 0, 0), 1.0),
        ((0, 0, 0, 0), (1, 1, 0, 0), 0.0),
        ((1, 1, 1, 0), (1, 1, 0, 0), 0.8),  # 2 x 2 of 3 + 2
        ((1, 1, 2, 0), (1, 1, 2, 2), 5 / 6),  # the mean of 1 and 2 of 3
        ((1, 0, 0, 0), (1, 1, 0, 0), 2 / 3),
        ((1, 1, 2, 2), (1, 1, IGNORE, IGNORE), 1.0),  # where nobody said anything is not looked at
        ((1, 1, 2, 2), (1, 1, 0, 0), 1.0),  # class 2 was never drawn: nothing is known of it
    ],
)
@pytest.mark.parametrize("enough", [0.7, 0.8, 1.0])
def test_belief_grows_with_dice_from_half_of_enough_on(said, truth, dice, enough):
    by_hand = min(1, max(0, 2 * dice / enough - 1))
    assert weight((said, truth), enough=enough) == pytest.approx(by_hand, abs=1e-6)


def test_nothing_is_believed_before_a_structure_was_seen():
    assert weight() == 0
    assert weight(((0, 0), (0, 0))) == 0


def test_with_zero_they_always_count():
    assert weight(enough=0) == weight(((0, 0), (1, 1)), enough=0) == 1


def test_steps_are_forgotten_slowly_and_a_step_without_the_structure_says_nothing():
    missed, found, nothing = ((0, 0), (1, 1)), ((1, 1), (1, 1)), ((0, 0), (0, 0))
    by_hand = 4 / (4 + 2 * FORGETS)
    assert weight(missed, found) == pytest.approx(min(1, 2 * by_hand / 0.8 - 1))
    assert weight(missed, found, nothing) == pytest.approx(weight(missed, found))
    assert weight(*[missed] * 50, found) == 0
