"""Why an earlier network does not fit, in words."""

from __future__ import annotations

import pytest
from engine_worlds import tiny_plan

from sslseg.training.lineage import unlike

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
