"""A run in two parts: slices teach a network of boxes."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from engine_worlds import (
    CPU,
    SHAPE,
    image,
    make_method,
    record,
    same,
    saved,
    target_of,
    tiny_plan,
    tiny_sampler,
    tiny_trainer,
)

from sslseg.core.annotation import IGNORE
from sslseg.core.control import Control
from sslseg.core.geometry import Plane
from sslseg.data.coverage import Coverage
from sslseg.inference.maps import Maps, blended
from sslseg.inference.pair import Pair
from sslseg.inference.predictor import Predictor
from sslseg.methods.shared import CriticParams, TrainingParams
from sslseg.training import relay as relay_module
from sslseg.training.device import Device
from sslseg.training.planner import make_plan
from sslseg.training.relay import HANDOVER, Relay, TaughtSampler, relayed

CROPS, CLASSES = (36, 50, 34), 3
LAPTOP = Device(torch.device("cpu"), "CPU", 8 * 2**30, None, 2)
BEFORE, AFTER = HANDOVER - 0.01, HANDOVER + 0.01


def tiny_relay(weight=None, **training):
    boxes = tiny_plan(3, unlabelled=0, patch=SHAPE)
    plan = tiny_plan(2).model_copy(update={"boxes": boxes})
    critic = CriticParams(critic=weight is not None)
    chosen = TrainingParams.model_validate(training)
    return Relay(make_method("bcp"), plan, CPU, 0, chosen, critic)


def run(relay, fractions, sampler=None):
    chosen = sampler or tiny_sampler(relay.plan)
    return [relay.step(chosen, fraction) for fraction in fractions]


def net_of(state, prefix):
    return {name: value for name, value in state.items() if name.startswith(prefix)}


# ---- when ----


def planned(shape=CROPS, spacing=(1, 1, 1), **params):
    given = [record(str(n), shape, spacing) for n in range(3)]
    chosen = TrainingParams.model_validate({"relay": True} | params)
    covered = Coverage(Counter({Plane.CORONAL: 12}))
    plan = make_plan(given, covered, CLASSES, LAPTOP, chosen)
    return relayed(plan, given, covered, LAPTOP, chosen)


def test_crops_hand_over_to_boxes_that_hold_them():
    plan = planned()
    assert (plan.axis, plan.network.dims) == (1, 2)
    assert plan.boxes is not None
    assert (plan.boxes.axis, plan.boxes.network.dims, plan.boxes.unlabelled) == (None, 3, 0)
    assert all(side >= length for side, length in zip(plan.boxes.patch, CROPS, strict=True))
    assert "3-D network learns" in plan.words[-1]


@pytest.mark.parametrize(
    ("why", "words"),
    [
        pytest.param({"spacing": (0.5, 0.5, 5)}, "slices are thick", id="thick slices"),
        pytest.param({"shape": (200, 200, 150)}, "no box holds", id="large volumes"),
        pytest.param({"dimensions": "3d"}, "reads boxes already", id="boxes from the start"),
    ],
)
def test_others_keep_one_network_and_say_why(why, words):
    plan = planned(**why)
    assert plan.boxes is None
    assert words in plan.words[-1]


def test_nobody_gets_it_unasked():
    plan = planned(relay=False)
    assert plan.boxes is None
    assert not any("second network" in words for words in plan.words)


# ---- how ----


def test_only_the_network_whose_turn_it_is_learns():
    relay = tiny_relay()
    start = relay.state()
    run(relay, [0.0, BEFORE])
    before = relay.state()
    run(relay, [AFTER, 0.9])
    after = relay.state()
    assert not same(net_of(start, "net."), net_of(before, "net."))
    assert same(net_of(start, "boxes.net."), net_of(before, "boxes.net."))
    assert same(net_of(before, "net."), net_of(after, "net."))
    assert not same(net_of(before, "boxes.net."), net_of(after, "boxes.net."))
    assert relay.step_count == 4


def test_critics_are_judged_while_they_learn():
    relay = tiny_relay(0.01)
    run(relay, [0.0, BEFORE])
    assert set(relay.records()) == {"critic"}
    run(relay, [AFTER])
    assert relay.records() == {}


def test_slices_learn_as_in_a_run_of_that_length():
    """Ramps and learning rate of the first part end with it."""
    relay, alone = tiny_relay(), tiny_trainer("bcp", 2, None)
    sampler = tiny_sampler(alone.plan)
    for share in (0.0, 0.5, 0.9):
        ours, theirs = relay.step(sampler, share * HANDOVER), alone.step(sampler, share)
        assert ours.terms == theirs.terms
        assert ours.learning_rate == pytest.approx(theirs.learning_rate)


def test_boxes_learn_annotations_and_what_slices_say_elsewhere():
    relay = tiny_relay(warp=0, paste=0)
    sampler = tiny_sampler(relay.plan)
    run(relay, [0.0, 0.2])
    said = relay.predictor().volume(image(0), Control()).probability.argmax(0)
    other = relay.predictor().volume(image(1), Control()).probability.argmax(0)
    labels = {case.name: relay._label(case) for case in sampler.cases}
    annotated = target_of([saved(2), saved(5), saved(9)])
    known = annotated != IGNORE
    np.testing.assert_array_equal(labels["a"][known], annotated[known])
    np.testing.assert_array_equal(labels["a"][~known], said[~known])
    np.testing.assert_array_equal(labels["b"], other)


def test_every_voxel_of_a_box_has_a_target():
    relay = tiny_relay()
    source = tiny_sampler(relay.plan)
    taught = TaughtSampler(source, relay.pupil.plan, lambda case: np.ones(SHAPE, np.int16))
    batch = taught.batch(0)
    assert batch.x.shape == (2, 1, *relay.pupil.plan.patch)
    assert bool((batch.y == 1).all())
    names = {place.case for step in range(20) for place in taught.batch(step).places}
    assert names == {"a", "b", "c"}


def test_annotated_volumes_are_among_the_few_that_boxes_learn_from(monkeypatch):
    monkeypatch.setattr(relay_module, "MOST_CASES", 2)
    relay = tiny_relay()
    source = tiny_sampler(relay.plan)
    taught = TaughtSampler(source, relay.pupil.plan, lambda case: np.ones(SHAPE, np.int16))
    assert next(case.name for case in taught.cases) == "a"
    assert len(taught.cases) == 2


def test_new_strokes_reach_the_boxes():
    relay = tiny_relay()
    plan = relay.plan
    run(relay, [0.0, AFTER])
    painted = target_of([saved(2), saved(5), saved(9)])
    painted[0] = 2
    sampler = tiny_sampler(plan, painted)
    run(relay, [AFTER], sampler)
    assert np.all(relay._label(sampler.cases[0])[0] == 2)


def test_hidden_voxels_do_not_matter():
    """Poison: what nobody annotated leaves terms and weights as they are, bit for bit."""
    clean = target_of([saved(2), saved(7, validation=True)], None)
    labels = np.random.default_rng(5).integers(0, CLASSES, SHAPE).astype(np.int16)
    labels[:, 2] = np.where(clean[:, 2] == IGNORE, 0, clean[:, 2])
    poisoned = target_of([saved(2), saved(7, validation=True)], labels)
    fractions = (0.1, 0.3, 0.5, 0.9)
    one, two = tiny_relay(0.01), tiny_relay(0.01)
    assert run(one, fractions, tiny_sampler(one.plan, clean)) == run(
        two, fractions, tiny_sampler(two.plan, poisoned)
    )
    assert same(one.state(), two.state())


def test_resumed_equals_uninterrupted():
    relay = tiny_relay(0.01)
    sampler = tiny_sampler(relay.plan)
    run(relay, [0.1, 0.3, 0.5, 0.6], sampler)
    taken = relay.state()
    resumed = tiny_relay(0.01)
    resumed.load_state(taken, 4)
    assert same(resumed.state(), taken)
    assert run(relay, [0.7, 0.8], sampler) == run(resumed, [0.7, 0.8], sampler)
    assert same(relay.state(), resumed.state())


# ---- what it says ----


def test_trust_in_boxes_rises_to_two_thirds():
    relay = tiny_relay()
    run(relay, [0.1])
    assert relay.trust == 0
    seen = [run(relay, [fraction]) and relay.trust for fraction in (AFTER, 0.5, 0.6, 0.7, 0.9, 1.0)]
    assert seen == sorted(seen)
    assert seen[0] < 0.05
    assert seen[-1] == pytest.approx(2 / 3)


def test_a_loaded_model_predicts_the_same():
    relay = tiny_relay(0.01)
    run(relay, [0.1, 0.3, 0.5, 0.9])
    loaded = tiny_relay(0.01)
    loaded.load_weights(relay.weights())
    ours = relay.predictor().volume(image(1), Control())
    theirs = loaded.predictor().volume(image(1), Control())
    np.testing.assert_array_equal(ours.probability, theirs.probability)
    assert ours.confidence is not None


def test_boxes_that_do_not_fit_any_more_predict_nothing_until_they_have_learnt():
    """As where volumes of another shape came, and the network of boxes is halved otherwise."""
    relay = tiny_relay()
    run(relay, [0.1, 0.5, 0.9])
    weights = relay.weights()
    name = next(name for name in weights if name.startswith("boxes.net."))
    weights[name] = weights[name][:1]
    loaded = tiny_relay()
    loaded.load_weights(weights)
    assert loaded.trust == 0
    assert not isinstance(loaded.predictor(), Pair)


def test_slices_of_a_pair_are_those_of_both():
    relay = tiny_relay()
    run(relay, [0.1, 0.5, 0.9])
    pair = relay.predictor()
    for place in ((1, 3), (0, 2)):
        (one,) = pair.planes(image(1), [place], Control())
        mine, theirs = (each.planes(image(1), [place], Control())[0] for each in parts(pair))
        expected = blended(mine, theirs, pair.trust)
        np.testing.assert_array_equal(one.probability, expected.probability)
        np.testing.assert_array_equal(one.information, expected.information)
    assert 0 < pair.trust < 1


def parts(pair: Predictor) -> tuple[Predictor, Predictor]:
    """The two that make a pair."""
    assert isinstance(pair, Pair)
    own = {each.name: getattr(pair, each.name) for each in fields(Predictor)}
    return Predictor(**own), pair.other


def test_windows_of_a_pair_count_the_other_by_what_they_cost():
    """By voxels, and by the 27 or 9 of them that a convolution reads."""
    relay = tiny_relay()
    run(relay, [0.1, 0.5, 0.9])
    pair = relay.predictor()
    wanted, shape = [(1, 3)], (40, 40, 40)
    alone, theirs = (each.windows(shape, wanted) for each in parts(pair))
    each = math.prod(pair.other.patch) / math.prod(pair.patch) * 3
    assert pair.windows(shape, wanted) == alone + math.ceil(each * theirs)
    assert each > 10


def test_blended_maps_by_hand():
    """A sure "0" and a sure "1", one to three: only disagreement is left, H(1/4) in bits."""
    zero, one = (np.zeros((2, 1, 1, 1), np.float32) for _ in range(2))
    zero[0], one[1] = 1, 1
    nothing = np.zeros((1, 1, 1), np.float32)
    belief = np.full((1, 1, 1), 0.3, np.float32)
    found = blended(
        Maps(zero, nothing, nothing, belief), Maps(one, nothing, nothing, None), weight=0.75
    )
    np.testing.assert_allclose(found.probability.ravel(), [0.25, 0.75])
    assert found.entropy.item() == pytest.approx(0.8113, abs=1e-4)
    assert found.information.item() == pytest.approx(0.8113, abs=1e-4)
    assert found.confidence is belief


def test_agreement_leaves_entropy_without_information():
    probability = np.array([0.25, 0.75], np.float32).reshape(2, 1, 1, 1)
    entropy = np.full((1, 1, 1), 0.8113, np.float32)
    maps = Maps(probability, entropy, np.zeros_like(entropy), None)
    found = blended(maps, replace(maps, confidence=None), weight=0.5)
    assert found.entropy.item() == pytest.approx(0.8113, abs=1e-4)
    assert found.information.item() == pytest.approx(0, abs=1e-4)
