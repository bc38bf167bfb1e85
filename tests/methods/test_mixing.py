"""What is mixed into an image is mixed into its labels, whatever box lands where.

Intensities stay here, so that every voxel of a view shows what it should be called.
"""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from answering import Reads, bright_and_dark
from engine_worlds import LATE, make_method, tiny_views
from torch import Tensor, nn

from sslseg.core.annotation import IGNORE
from sslseg.data.batch import Batch
from sslseg.data.views import Views
from sslseg.methods.ensemble import taught
from sslseg.networks.unet import UNet

SEED = 10
"""Of boxes that change how much is dark."""

RIGHT = math.log(1 + math.exp(-10))
"""What a voxel costs that is called what it shows; one that is not costs 10."""


@pytest.fixture(autouse=True)
def calm(monkeypatch):
    monkeypatch.setattr(Views, "strong", lambda self, x: x)


def bright_annotated() -> Batch:
    """Whoever is bright is annotated as class 1; of the dark nobody said anything."""
    batch = bright_and_dark()
    return replace(batch, y=torch.where(batch.x[:, 0] > 0, 1, IGNORE))


def shown(net: Reads) -> Tensor:
    """What it saw of the unlabelled items, some of which must be mixtures."""
    seen = net.saw[1:]
    assert any(len(item.unique()) == 2 for item in seen)
    assert set(seen.unique().tolist()) == {-1.0, 1.0}
    return seen


def dark(*nets: Reads) -> float:
    """Add the shares of unlabelled voxels that each saw dark; half of them were before mixing."""
    total = sum((shown(net) < 0).float().mean().item() for net in nets)
    assert abs(total - len(nets) / 2) > 0.04
    return total


def together(count: int) -> tuple[list[Reads], dict[str, nn.Module]]:
    """Return students, and all networks: averages see the same, but remember it elsewhere."""
    students = [Reads() for _ in range(count)]
    nets: dict[str, nn.Module] = {f"student_{n}": net for n, net in enumerate(students)}
    return students, nets | {f"teacher_{n}": Reads() for n in range(count)}


def terms(name: str, nets: dict[str, nn.Module], batch: Batch, **params) -> dict[str, Tensor]:
    return make_method(name, **params).step(batch, tiny_views(SEED), nets, LATE).terms


@pytest.mark.parametrize(("target", "by_hand"), [("pseudo-labels", RIGHT), ("probabilities", 0.0)])
def test_mean_teacher(target, by_hand):
    student = Reads()
    nets = {"student": student, "teacher": Reads()}
    found = terms("mean-teacher", nets, bright_and_dark(), target=target)["consistency"]
    assert shown(student) is not None
    assert found.item() == pytest.approx(by_hand, rel=1e-2, abs=1e-9)


def test_mean_teacher_mixes_annotations_too():
    student = Reads()
    found = terms("mean-teacher", {"student": student, "teacher": Reads()}, bright_annotated())
    assert found["consistency"].item() == pytest.approx(RIGHT * dark(student), rel=1e-2)
    assert found["supervised"].item() == pytest.approx(RIGHT / 2, rel=2e-2)


def test_co_training():
    """Each network has a mixture of its own."""
    students, nets = together(2)
    found = terms("co-training", nets, bright_and_dark())["consistency"]
    assert not torch.equal(*(shown(net) for net in students))
    assert found.item() == pytest.approx(2 * RIGHT, rel=1e-2)


def test_co_training_mixes_annotations_too():
    students, nets = together(2)
    found = terms("co-training", nets, bright_annotated())
    by_hand = RIGHT * dark(*students)
    assert found["consistency"].item() == pytest.approx(by_hand, rel=1e-2)
    assert found["supervised"].item() == pytest.approx(2 * RIGHT / 2, rel=2e-2)


@pytest.mark.parametrize("name", ["multi-view", "cross-teaching"])
def test_methods_of_three_networks(name):
    """The labelled item is annotated, so six of seven items are taught, to each network."""
    students, nets = together(3)
    batch = bright_and_dark()
    batch.y[0] = 0
    found = terms(name, nets, batch)["consistency"]
    assert all(shown(net) is not None for net in students)
    assert found.item() == pytest.approx(3 * RIGHT * 6 / 7, rel=1e-2)


def test_taught_mixes_annotations_too():
    net, batch = Reads(), bright_annotated()
    label = (batch.x[:, 0] > 0).long()
    trust = (batch.x != 0).float()
    found = taught(net, batch, tiny_views(SEED), label, trust).terms
    assert found["consistency"].item() == pytest.approx(RIGHT * dark(net) * 6 / 7, rel=1e-2)
    assert found["supervised"].item() == pytest.approx(RIGHT / 2, rel=2e-2)


def test_taught_mixes_trust_too():
    """All are called dark, and only the dark are trusted."""
    net, batch = Reads(), bright_and_dark()
    label = torch.zeros_like(batch.y)
    found = taught(net, batch, tiny_views(SEED), label, (batch.x < 0).float()).terms["consistency"]
    assert found.item() == pytest.approx(RIGHT * dark(net) * 6 / 7, rel=1e-2)


class Features(nn.Module):
    """The image is the only feature."""

    def forward(self, x: Tensor) -> list[Tensor]:
        return [x]


class ReadsFeatures(Reads):
    def forward(self, features: list[Tensor]) -> Tensor:
        return super().forward(features[0])


def test_unimatch():
    """Dice of two views, each mixed in its own way: almost 0 where labels fit."""
    decoder = ReadsFeatures()
    net = UNet(Features(), decoder)
    found = terms("unimatch", {"student": net}, bright_and_dark(), drop=0.0)["consistency"]
    first, second = decoder.saw.chunk(2)
    assert not torch.equal(first, second)
    assert shown(decoder) is not None
    assert found.item() == pytest.approx(0, abs=1e-5)
