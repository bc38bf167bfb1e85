"""UniMatch: pseudo-labels, dropped features and three views, on networks that say what we want."""

from __future__ import annotations

import pytest
import torch
from engine_worlds import make_method, tiny_batch, tiny_plan, tiny_views
from torch import Tensor, nn

from sslseg.core.annotation import IGNORE
from sslseg.data.batch import Batch
from sslseg.losses.masked import dice
from sslseg.methods.unimatch import pseudo_label
from sslseg.networks.factory import Maker
from sslseg.networks.unet import UNet


class Features(nn.Module):
    """The image is the only feature."""

    def forward(self, x: Tensor) -> list[Tensor]:
        return [x]


class Says(nn.Module):
    """A decoder that gives the same probabilities, a column of the width each."""

    def __init__(self, *columns: tuple[float, ...]) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(columns).T[None, :, None, :].log())

    def forward(self, features: list[Tensor]) -> Tensor:
        return self.logits.expand(len(features[0]), -1, -1, -1)


SURE, UNSURE = (0.05, 0.9, 0.05), (0.5, 0.3, 0.2)
PAIR = Batch(torch.zeros((2, 1, 1, 2)), torch.full((2, 1, 2), IGNORE), 1)


def terms(net: nn.Module, batch: Batch = PAIR, **params: float) -> dict[str, Tensor]:
    method = make_method("unimatch", **params)
    return method.step(batch, tiny_views(), {"student": net}, 1.0).terms


def test_sure_voxels_are_labelled_and_others_ignored():
    """Not turned into class 0, as a public FixMatch does."""
    p = torch.tensor([SURE, UNSURE, SURE]).T[None, :, None, :]
    y = torch.tensor([[[IGNORE, IGNORE, 2]]])
    assert pseudo_label(p, y, 0.8).tolist() == [[[1, IGNORE, IGNORE]]]


def test_views_by_hand():
    """The sure column alone counts: Dice of 0.9 against 1 is 1.8 / 1.81, squared sizes."""
    net = UNet(Features(), Says(SURE, UNSURE))
    found = terms(net, threshold=0.8)
    by_hand = 1 - 2 * 0.9 / (0.9**2 + 1)
    assert found["consistency"].item() == pytest.approx(by_hand, rel=1e-3)
    assert found["features"].item() == pytest.approx(by_hand, rel=1e-3)
    (found["consistency"] + found["features"]).backward()
    gradient = net.decoder.logits.grad[0, :, 0]
    assert torch.count_nonzero(gradient[:, 0]) == 3
    assert torch.count_nonzero(gradient[:, 1]) == 0


def test_nobody_sure_teaches_nothing_and_drops_nothing_else():
    said = Batch(PAIR.x, torch.tensor([[[1, IGNORE]], [[IGNORE, IGNORE]]]), 1)
    found = terms(UNet(Features(), Says(UNSURE, UNSURE)), said)
    assert found["consistency"] == found["features"] == 0
    assert found["supervised"] > 0


def test_annotated_voxels_are_never_pseudo_labelled():
    said = Batch(PAIR.x, torch.tensor([[[IGNORE, IGNORE]], [[0, 0]]]), 1)
    found = terms(UNet(Features(), Says(SURE, SURE)), said, threshold=0.5)
    assert found["consistency"] == found["features"] == 0


def test_weights_are_a_quarter_for_each_strong_view_and_a_half_for_the_features():
    """The paper's, where the mean of both strong views is one term."""
    ramps = make_method("unimatch").ramps()
    assert {name: ramp(1.0) for name, ramp in ramps.items()} == {
        "consistency": 0.5,
        "features": 0.5,
    }


def test_without_dropping_the_features_view_is_the_weak_one():
    torch.manual_seed(0)
    method, batch = make_method("unimatch", drop=0.0, threshold=0.3), tiny_batch(2)
    out = method.step(batch, tiny_views(), method.build(Maker(tiny_plan(2).network)), 1.0)
    weak = out.logits[2:]
    label = pseudo_label(torch.softmax(weak, 1), batch.y[2:], 0.3)
    assert out.terms["features"].item() == pytest.approx(dice(weak, label).item(), rel=1e-4)


class Recorder(Says):
    """Remembers the features it was given."""

    def forward(self, features: list[Tensor]) -> Tensor:
        self.given = getattr(self, "given", [])
        self.given.append(features[0].detach())
        return super().forward(features)


def test_whole_channels_are_dropped_and_the_others_doubled():
    batch = Batch(torch.ones((5, 64, 2, 2)), torch.full((5, 2, 2), IGNORE), 1)
    decoder = Recorder(SURE, UNSURE)
    decoder.logits = nn.Parameter(decoder.logits.detach().expand(1, 3, 2, 2).clone())
    terms(UNet(Features(), decoder), batch)
    mixed = decoder.given[0]
    assert torch.equal(mixed[:5], batch.x)
    dropped = mixed[5:]
    assert len(dropped) == 4
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert torch.equal(dropped, dropped[..., :1, :1].expand_as(dropped))
    assert 0.35 < (dropped == 0).float().mean() < 0.65
