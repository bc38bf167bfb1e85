"""A setting that a training cannot follow is told."""

from engine_worlds import CPU, tiny_plan, tiny_trainer

from sslseg.methods.shared import CriticParams, TrainingParams
from sslseg.training.trainer import Trainer
from sslseg.training.unheard import unheard


def without_critic() -> Trainer:
    rides = tiny_trainer("supervised")
    params = CriticParams(critic=False, critic_weight=0.1)
    return Trainer(rides.method, tiny_plan(2), CPU, 0, TrainingParams(), params)


def test_nothing_is_told_where_every_setting_acts():
    assert unheard(tiny_trainer("supervised", weight=0.01)) == ()
    assert unheard(tiny_trainer("supervised", weight=None)) == ()
    assert unheard(tiny_trainer("advsemiseg", weight=0.0)) == ()
    assert unheard(tiny_trainer("equivariance", transform="turns", training={"warp": 0})) == ()


def test_a_pushing_weight_without_a_riding_critic_is_told():
    assert unheard(tiny_trainer("advsemiseg", weight=0.01)) == (
        "critic_weight does nothing: advsemiseg has a critic of its own.",
    )
    assert unheard(without_critic()) == (
        "critic_weight does nothing: with critic=false no discriminator rides.",
    )


def test_warps_that_deform_nothing_are_told():
    trainer = tiny_trainer("equivariance", transform="warps", training={"warp": 0})
    assert unheard(trainer) == (
        "Unlabelled volumes teach nothing: with warp=0 nothing is deformed.",
    )
