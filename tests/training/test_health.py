"""Figures and words on adversarial training."""

from __future__ import annotations

import pytest
import torch
from engine_worlds import CPU, tiny_plan, tiny_sampler

from sslseg.core.prediction import CriticHealth
from sslseg.inference.predictor import Predictor
from sslseg.networks.record import Record
from sslseg.training.health import diversity, told

GOOD = CriticHealth(auc=0.8, healthy=True, words="Confidence is usable.")


def record(**values: float) -> Record:
    made = Record()
    for name, value in values.items():
        made.get_buffer(name).fill_(value)
    return made


def words(steps: float = 1e5, judge: str = "critic", **records: Record) -> str:
    return told(GOOD, records, judge, steps).words


def test_a_healthy_critic_needs_no_words():
    health = told(GOOD, {"critic": record(loss=0.4, real=0.8, fake=0.7)}, "critic", 1000)
    assert health.words == GOOD.words
    assert (health.auc, health.healthy) == (0.8, True)
    assert (health.loss, health.accuracy_real, health.accuracy_fake) == (0.4, 0.8, 0.7)
    assert health.diversity is None
    assert CriticHealth.model_validate_json(health.model_dump_json()) == health


@pytest.mark.parametrize(
    ("steps", "winning", "warns"),
    [(1e5, 499, False), (1e5, 500, True), (100, 49, False), (800, 79, False), (800, 80, True)],
)
def test_a_critic_that_wins_for_long_is_told(steps, winning, warns):
    """500 steps in a row, a tenth of a short run, but never fewer than 50."""
    found = words(steps, critic=record(loss=0.03, real=1, fake=0.98, winning=winning))
    assert ("always wins" in found) is warns
    assert not warns or "critic, loss 0.03, right 99%" in found


def test_a_critic_that_knows_nothing_is_told():
    clueless = record(loss=0.69, losing=500)
    assert "critic_image" in words(critic=record(), critic_image=clueless)
    assert "tells nothing apart" in words(critic=record(), critic_image=clueless)


@pytest.mark.parametrize("judge", ["critic", "critic_pixel"])
def test_a_pixel_critic_is_called_clueless_by_its_auc_alone(judge):
    """Most voxels are predicted right: there truth and prediction are the same."""
    assert words(judge=judge, **{judge: record(loss=0.69, losing=10**6)}) == GOOD.words


def test_figures_are_of_the_methods_own_critic_and_the_words_name_it():
    pushing = record(loss=0.3, real=0.9, fake=0.75)
    found = told(GOOD, {"critic": record(loss=0.02), "critic_image": pushing}, "critic", 9)
    assert (found.loss, found.accuracy_real, found.accuracy_fake) == (0.3, 0.9, 0.75)
    assert found.words.endswith("critic_image pushes: it tells 90% of real and 75% of predicted.")


@pytest.mark.parametrize(
    ("losses", "worst"),
    [((0.4, 0.05), 1), ((0.05, 0.4), 0), ((0.4, 0.75), 1), ((0.2, 0.72), 1), ((0.06, 0.7), 0)],
)
def test_of_several_critics_the_worst_is_told_not_the_first(losses, worst):
    """The farther from the middle of 0.1, always right, and 0.68, knows nothing."""
    own = {
        f"critic_level_{n}": record(loss=loss, real=0.5 + n / 4) for n, loss in enumerate(losses)
    }
    found = told(GOOD, {"critic": record(loss=2), **own}, "critic", 9)
    assert (found.loss, found.accuracy_real) == (losses[worst], 0.5 + worst / 4)
    assert f"Of 2 that push, critic_level_{worst} fares worst: it tells" in found.words


def test_the_critic_behind_the_confidence_needs_no_name():
    """`advsemiseg`: its own critic gives the AUC too."""
    assert words(judge="critic_pixel", critic_pixel=record(loss=0.4)) == GOOD.words


@pytest.mark.parametrize(("spread", "warns"), [(0.03, False), (0.02, True)])
def test_predictions_that_become_one_are_told(spread, warns):
    found = told(GOOD, {"critic": record()}, "critic", 9, spread, 0.1)
    assert found.diversity == spread
    assert ("become one" in found.words) is warns


def predictor(foreground) -> Predictor:
    def members(x):
        chosen = foreground(x[:, :1].float())
        return [torch.cat([1 - chosen, chosen], 1)]

    return Predictor(members, None, 2, 1, 3, (8, 6), CPU.torch, None)


def test_one_mask_for_all_has_no_diversity():
    plan = tiny_plan(2, labelled=0, unlabelled=6)
    assert diversity(predictor(lambda x: torch.ones_like(x)), tiny_sampler(plan)) == 0


def test_diversity_is_the_deviation_of_the_share_of_foreground():
    plan = tiny_plan(2, labelled=0, unlabelled=5)
    found = diversity(predictor(lambda x: (x > 1).float()), tiny_sampler(plan))
    shares = (tiny_sampler(plan).batch(0).x[:, :1] > 1).float().flatten(1).mean(1)
    assert found == pytest.approx(shares.std().item())
    assert found > 0
