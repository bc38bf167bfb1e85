"""What every pre-training method owes in the one trainer. A new file is tested without new code."""

from __future__ import annotations

from dataclasses import replace
from importlib import resources

import numpy as np
import pytest
import torch
from engine_worlds import CPU, image, same, tiny_batch, tiny_plan, tiny_trainer, tiny_views

from sslseg.core.annotation import IGNORE
from sslseg.core.catalogue import DEFAULT_PRETRAINING, pretraining_methods
from sslseg.data.sampling import Sampler, TrainingCase
from sslseg.methods import catalogue
from sslseg.methods import find as find_method
from sslseg.methods import registry as methods
from sslseg.methods.shared import CriticParams, TrainingParams
from sslseg.networks.factory import Maker, flattened
from sslseg.networks.unet import Decoder, Encoder
from sslseg.pretraining import find, registry
from sslseg.pretraining.catalogue import pretexts
from sslseg.training.trainer import Trainer

PHASES = (0.0, 0.9)


@pytest.fixture(params=[2, 3], ids=["2.5d", "3d"])
def dims(request):
    return request.param


@pytest.fixture(params=list(registry()))
def name(request):
    return request.param


def trainer_of(name: str, dims: int, patch: tuple[int, ...] | None = None) -> Trainer:
    plan = tiny_plan(dims, labelled=0, unlabelled=4, patch=patch)
    nobody = CriticParams(critic=False)
    pretext = find(name)(find(name).Params(), nobody)
    return Trainer(pretext, plan, CPU, 0, TrainingParams(), nobody)


def sampler_of(trainer: Trainer) -> Sampler:
    cases = [TrainingCase(case, image(seed), None) for seed, case in enumerate("ab")]
    return Sampler(cases, trainer.plan.patches, 0)


def encoders(trainer: Trainer) -> list[Encoder]:
    return [
        part for net in trainer.nets.values() for part in net.modules() if isinstance(part, Encoder)
    ]


def test_the_three_ways_and_the_default():
    assert {"contrastive", "jigsaw", "masked"} <= set(registry())
    assert DEFAULT_PRETRAINING in registry()
    assert all(pretext.family == "Pre-training" for pretext in registry().values())
    assert not set(registry()) & set(methods())


def test_committed_list_is_what_the_files_say():
    committed = resources.files("sslseg.core").joinpath("pretraining.json")
    assert committed.read_text(encoding="utf-8") == catalogue.text(pretexts()), (
        "pre-training methods changed: run `python -m sslseg.pretraining.catalogue` and commit"
    )
    assert [info.name for info in pretraining_methods()] == list(registry())
    assert all(p.help.endswith(".") for info in pretraining_methods() for p in info.parameters)


def test_it_learns_from_images_alone(name, dims):
    trainer = trainer_of(name, dims)
    before = trainer.state()
    reports = [trainer.step(sampler_of(trainer), fraction) for fraction in PHASES]
    values = [value for report in reports for value in report.terms.values()]
    assert values
    assert np.isfinite(values).all()
    assert not same(before, trainer.state())


def test_labels_change_nothing(name, dims):
    """The poison test: targets of every kind give the same terms, bit for bit."""
    batch = tiny_batch(dims, 0, 4)
    poisoned = replace(batch, y=torch.where(batch.y == IGNORE, 1, IGNORE))
    found = []
    for one in (batch, poisoned):
        for fraction in PHASES:
            torch.manual_seed(0)
            pretext = find(name)(find(name).Params())
            nets = pretext.build(Maker(tiny_plan(dims).network))
            found.append(pretext.step(one, tiny_views(dims=dims), nets, fraction).terms)
    assert found[:2] == found[2:]


def test_losses_follow_from_the_seed(name, dims):
    first, second = trainer_of(name, dims), trainer_of(name, dims)
    for fraction in PHASES:
        assert first.step(sampler_of(first), fraction) == second.step(sampler_of(second), fraction)
    assert same(first.state(), second.state())


@pytest.mark.parametrize("which", range(3))
def test_any_patch_size(name, dims, which):
    sizes = {2: [(6, 14), (2, 2), (12, 4)], 3: [(2, 6, 10), (2, 2, 2), (12, 4, 2)]}
    trainer = trainer_of(name, dims, sizes[dims][which])
    for fraction in PHASES:
        report = trainer.step(sampler_of(trainer), fraction)
        assert all(np.isfinite(value) for value in report.terms.values())


def test_it_predicts_nothing(name):
    with pytest.raises(TypeError, match="predicts nothing"):
        trainer_of(name, 2).predictor()


@pytest.mark.parametrize("method", list(methods()))
def test_what_was_learnt_arrives_in_every_network_of_every_method(method, name, dims):
    if dims == 2 and find_method(method).dimensions == "3d":
        pytest.skip("needs boxes")
    teacher = trainer_of(name, dims)
    for fraction in PHASES:
        teacher.step(sampler_of(teacher), fraction)
    learnt = teacher.method.learnt(teacher.nets)
    source = teacher.nets["encoder"].state_dict()
    pupil = tiny_trainer(method, dims)
    taught = encoders(pupil)
    assert pupil.load_pretrained(learnt) == len(taught) > 0
    for encoder in taught:
        assert same(dict(encoder.state_dict()), flattened(source, encoder))
    if method == "supervised":
        assert len(taught) == 2, "student and teacher"
    if find_method(method).dimensions == "3d":
        assert len(taught) == 6, "three networks, also those of one plane, and their averages"


def test_decoder_levels_arrive_where_they_fit(dims):
    teacher = trainer_of("contrastive", dims)
    teacher.step(sampler_of(teacher), 0.9)
    pupil = tiny_trainer("mean-teacher", dims)
    pupil.load_pretrained(teacher.method.learnt(teacher.nets))
    for net in pupil.nets.values():
        decoder = net.decoder
        assert isinstance(decoder, Decoder)
        assert same(
            dict(decoder.rises[0].state_dict()), teacher.nets["decoder"].rises[0].state_dict()
        )


def test_an_encoder_of_another_shape_changes_nothing(dims):
    teacher = trainer_of("masked", dims)
    learnt = teacher.method.learnt(teacher.nets)
    learnt.pop("encoder.levels.1.conv.unit0.conv.weight")
    pupil = tiny_trainer("mean-teacher", dims)
    before = pupil.state()
    assert pupil.load_pretrained(learnt) == 0
    assert same(before, pupil.state())
