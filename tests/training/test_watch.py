"""Critics are judged to the end of a run; their AUC on held-out slices alone."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from engine_worlds import CLASSES, tiny_cases, tiny_plan, tiny_trainer

from sslseg.core.prediction import CriticHealth
from sslseg.data.sampling import PatchPlan, Sampler
from sslseg.training import watch as watch_module
from sslseg.training.watch import CriticWatch


@dataclass
class Data:
    """Held-out slices until they join; notes from how many labelled items each look was."""

    held: bool = True
    looked: list[int] = field(default_factory=list)

    def validation_sampler(self, plan: PatchPlan, seed: int) -> Sampler | None:
        return Sampler(tiny_cases(), plan, seed) if self.held else None

    def annotated_sampler(self, plan: PatchPlan, seed: int) -> Sampler:
        self.looked.append(plan.labelled)
        return Sampler(tiny_cases(), plan, seed)


def watch(**options: object) -> CriticWatch:
    trainer = tiny_trainer("supervised", **options)
    trainer.step_count, trainer.fraction = 100, 0.5
    return CriticWatch(trainer, tiny_plan(2).patches, CLASSES, 0)


def later(made: CriticWatch, data: Data) -> CriticHealth:
    """Judge again after 50 steps and with nothing held out any more."""
    data.held = False
    made.trainer.step_count, made.trainer.fraction = 150, 0.75
    found = made.look(data)
    assert found is not None
    return found


def test_the_last_auc_on_held_out_slices_stands_and_says_when_it_was_measured():
    made, data = watch(), Data()
    before = made.look(data)
    after = later(made, data)
    assert (before.auc_step, after.auc_step) == (100, 100)
    assert before.auc is not None
    assert (after.auc, after.healthy) == (before.auc, before.healthy)
    assert "on held-out slices)" in before.words
    assert "on held-out slices, last at step 100)" in after.words
    assert made.health == after


def test_slices_that_are_learnt_from_are_never_looked_at_for_a_held_out_auc():
    made, data = watch(), Data()
    made.look(data)
    later(made, data)
    assert data.looked == [0, 0], "unlabelled patches for diversity, and nothing else"


def test_a_critic_that_always_wins_is_told_once_held_out_slices_joined():
    made, data = watch(), Data()
    assert "always wins" not in made.look(data).words
    record = made.trainer.records()["critic"]
    record.loss.fill_(0.03)
    record.winning.fill_(50)
    found = later(made, data)
    assert "always wins" in found.words
    assert found.loss == 0.03


def test_predictions_that_become_one_are_told_once_held_out_slices_joined(monkeypatch):
    spreads = iter([0.1, 0.02])
    monkeypatch.setattr(watch_module, "diversity", lambda *_: next(spreads))
    made, data = watch(), Data()
    assert "become one" not in made.look(data).words
    found = later(made, data)
    assert "become one (spread 0.020, was 0.100)" in found.words
    assert found.diversity == 0.02


def test_without_held_out_slices_the_auc_is_of_training_slices_and_confirms_nothing():
    made, data = watch(), Data(held=False)
    first = made.look(data)
    second = later(made, data)
    for found, step in ((first, 100), (second, 150)):
        assert "on training slices" in found.words
        assert "held-out slices" not in found.words
        assert not found.healthy
        assert found.auc_step == step


def test_held_out_slices_that_showed_nothing_leave_no_figure(monkeypatch):
    """Nothing of them is kept: what comes later is of training slices, and says so."""
    measure = watch_module.critic_health

    def blind(*args, held_out):
        return CriticHealth() if held_out else measure(*args, held_out=held_out)

    monkeypatch.setattr(watch_module, "critic_health", blind)
    made, data = watch(), Data()
    before = made.look(data)
    assert (before.auc, before.auc_step) == (None, None)
    assert "on training slices" in later(made, data).words


@pytest.mark.parametrize("weight", [None, 0.0])
def test_nobody_to_judge_and_nobody_who_pushes(weight):
    made, data = watch(weight=weight), Data()
    found = made.look(data)
    assert (found is None) is (weight is None)
    assert data.looked == [], "diversity is looked at where a critic pushes"
