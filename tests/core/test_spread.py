from __future__ import annotations

import math

import pytest

from sslseg.core.events import Compared, Validated
from sslseg.core.spread import jackknife, with_error


def measured(mean, without, slices=None):
    return Validated(
        run="r",
        step=1,
        dice={"a": mean},
        mean=mean,
        slices=len(without) if slices is None else slices,
        without=without,
    )


def test_of_a_mean_it_is_the_standard_error():
    """Values 1, 2, 3, 6: mean 3, leaving each out 11/3, 10/3, 3, 2; s = sqrt(14/3), s / 2."""
    assert jackknife([11 / 3, 10 / 3, 3, 2]) == pytest.approx(math.sqrt(14 / 3) / 2)


@pytest.mark.parametrize("without", [(), (0.5,), (0.5, None), (0.5, 0.6, None)])
def test_it_is_unknown_where_it_cannot_be_told(without):
    assert jackknife(without) is None


def test_a_figure_is_never_bare():
    assert with_error(0.812, 0.034, 6) == "Dice 0.81 ± 0.03 (n = 6)"
    assert with_error(0.812, 0.1, 3) == "Dice 0.81 ± 0.10 (only n = 3)"
    assert with_error(0.812, None, 1) == "Dice 0.81 ± ? (only n = 1)"
    assert with_error(None, None, 0) == "Dice undefined (n = 0)"
    assert with_error(0.812, 0.1, 3, "so what") == "Dice 0.81 ± 0.10 (only n = 3, so what)"


def test_a_comparison_pairs_the_slices():
    """Each slice left out raises or lowers both alike: the gain is surer than either."""
    found = Compared(
        method="mean-teacher",
        measured=measured(0.8, (0.7, 0.9)),
        baseline=measured(0.7, (0.6, 0.8)),
    )
    assert found.measured.error == pytest.approx(0.1)
    assert found.difference == pytest.approx(0.1)
    assert found.error == pytest.approx(0, abs=1e-12)
    assert "mean-teacher: Dice 0.80 ± 0.10 (only n = 2)" in found.words
    assert "Gain: 0.10 ± 0.00 (only n = 2)." in found.words


def test_a_dice_of_the_source_says_that_it_tells_nothing_of_the_target():
    ours = measured(0.8, (0.7, 0.9)).model_copy(update={"source": True, "known": True})
    assert ours.words == "Dice 0.80 ± 0.10 (only n = 2, source only, known volumes)"
    found = Compared(method="advent", measured=ours, baseline=measured(0.7, (0.6, 0.8)))
    assert found.words.endswith("they tell nothing of the target.")
    other = found.model_copy(update={"measured": measured(0.8, (0.7, 0.9))})
    assert "target" not in other.words


def test_a_comparison_of_different_slices_has_no_error():
    found = Compared(
        method="m", measured=measured(0.8, (0.7, 0.9)), baseline=measured(0.7, (0.7,) * 3)
    )
    assert found.error is None
    assert "0.10 ± ?" in found.words


def test_without_held_out_slices_there_is_nothing_to_compare():
    found = Compared(method="m", measured=None, baseline=measured(None, ()))
    assert found.difference is None
    assert "no Dice on held-out slices" in found.words
