"""Why an earlier network does not fit, in words; and what is taken over where it does."""

from __future__ import annotations

import pytest
import torch
from engine_worlds import tiny_plan, tiny_sampler, tiny_trainer

from sslseg.training.lineage import take_over, unlike

OLD = tiny_plan(2)


@pytest.mark.parametrize(
    ("network", "axis", "why"),
    [
        ({}, 1, ""),
        ({}, 2, "volumes are read in another way"),
        ({"dims": 3, "strides": ((2, 2, 2),)}, None, "volumes are read in another way"),
        ({"classes": 4}, 1, "there are other classes"),
        ({"in_channels": 5}, 1, "another number of neighbouring slices"),
        ({"channels": (8, 16)}, 1, "its width or its dropout was changed"),
        ({"dropout": 0.5}, 1, "its width or its dropout was changed"),
        ({"strides": ((2, 1),)}, 1, "most volumes now have another size or shape"),
        (
            {"strides": ((2, 2), (2, 2)), "channels": (4, 8, 16)},
            1,
            "most volumes now have another size or shape",
        ),
    ],
)
def test_the_first_difference_is_named(network, axis, why):
    changed = OLD.network.model_copy(update=network)
    found = unlike(OLD, OLD.model_copy(update={"network": changed, "axis": axis}))
    assert why in found
    assert bool(found) is bool(why)


def test_what_does_not_shape_the_network_does_not_matter():
    assert unlike(OLD, OLD.model_copy(update={"patch": (16, 16), "learning_rate": 1.0})) == ""


# ---- what the next run begins with ----


def test_the_student_begins_as_the_average_of_the_run_before():
    old, new = tiny_trainer("mean-teacher"), tiny_trainer("mean-teacher", seed=1)
    for step in range(3):
        old.step(tiny_sampler(old.plan), step / 3)
    averaged, last = (old.nets[name].state_dict() for name in ("teacher", "student"))
    take_over(new, old.weights())
    begun = new.nets["student"].state_dict()
    assert all(torch.equal(begun[name], averaged[name]) for name in begun)
    assert any(not torch.equal(begun[name], last[name]) for name in begun)


def test_networks_without_an_average_go_on_as_they_were():
    old, new = tiny_trainer("co-training"), tiny_trainer("co-training", seed=1)
    old.step(tiny_sampler(old.plan), 0.0)
    take_over(new, old.weights())
    for name, net in old.nets.items():
        begun = new.nets[name].state_dict()
        assert all(torch.equal(begun[key], value) for key, value in net.state_dict().items())
