"""What a full network learnt, in a network that is flat along one axis."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from sslseg.networks.factory import Maker, NetworkSpec, flattened
from sslseg.networks.unet import Encoder


def encoder(strides: tuple[tuple[int, ...], ...], thin: int | None = None) -> Encoder:
    channels = (3, 4, 5, 6)[: len(strides) + 1]
    spec = NetworkSpec(dims=3, in_channels=1, classes=2, channels=channels, strides=strides)
    return Maker(spec)(thin=thin).encoder


def taught(strides: tuple[tuple[int, ...], ...]) -> Encoder:
    """An encoder whose normalisations have seen something."""
    made = encoder(strides)
    with torch.no_grad():
        made(3 * torch.randn((2, 1, 16, 16, 16)) + 1)
    return made.eval()


def test_kernels_are_summed_by_hand():
    kernel = torch.arange(27.0).view(1, 1, 3, 3, 3)
    flat = nn.Conv3d(1, 1, (3, 1, 3), bias=False)
    found = flattened({"weight": kernel}, flat)["weight"]
    assert found.shape == flat.weight.shape
    assert found[0, 0, :, 0].tolist() == [[9, 12, 15], [36, 39, 42], [63, 66, 69]]


@pytest.mark.parametrize("shape", [(2, 1, 3, 3), (2, 1, 3, 3, 5), (2, 2, 3, 3, 3)])
def test_what_is_no_flat_twin_stays_as_it_is(shape: tuple[int, ...]):
    kernel = torch.zeros((2, 1, 3, 3, 3))
    like = nn.Module()
    like.register_buffer("weight", torch.zeros(shape))
    assert flattened({"weight": kernel, "other": kernel}, like)["weight"] is kernel


@pytest.mark.parametrize("thin", range(3))
def test_where_nothing_changes_along_the_axis_both_say_the_same(thin: int):
    """Away from the two ends of the axis, where zeros are padded."""
    full, flat = taught(((2, 2, 2), (2, 2, 2))), encoder(((2, 2, 2), (2, 2, 2)), thin).eval()
    flat.load_state_dict(flattened(full.state_dict(), flat))
    x = torch.randn((1, 1, 16, 16, 1)).expand(-1, -1, -1, -1, 64).movedim(-1, 2 + thin)
    with torch.no_grad():
        pairs = list(zip(full(x), flat(x), strict=True))
    for ours, theirs in pairs:
        assert torch.allclose(middle(ours, thin), middle(theirs, thin), atol=1e-5)
        assert middle(ours, thin).std() > 0.1


def middle(features: Tensor, thin: int) -> Tensor:
    return features.select(2 + thin, features.shape[2 + thin] // 2)


def test_a_level_that_strode_along_the_axis_alone_arrives_too():
    """There the shortcut of the flat network is one voxel wide."""
    strides, name = ((2, 2, 2), (1, 2, 1)), "levels.1.residual.weight"
    full, flat = taught(strides), encoder(strides, thin=1)
    flat.load_state_dict(flattened(full.state_dict(), flat))
    found, whole = (dict(net.named_parameters())[name] for net in (flat, full))
    assert torch.equal(found, whole.sum((2, 3, 4), keepdim=True))
