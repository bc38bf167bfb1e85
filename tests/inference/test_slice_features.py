"""Features of slices, gathered while a volume is predicted."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from engine_worlds import SHAPE, image, tiny_plan, tiny_trainer
from torch import Tensor, nn

from sslseg.core.control import Control
from sslseg.core.geometry import Plane
from sslseg.inference.features import SEED, WIDTH, SliceFeatures


class Seen(nn.Module):
    """An encoder whose deepest features are what it is given."""

    def forward(self, x: Tensor) -> list[Tensor]:
        return [x[:, :1], x]


def projected(means: np.ndarray) -> np.ndarray:
    matrix = np.random.default_rng(SEED).standard_normal((means.shape[1], WIDTH))
    return means @ (matrix / np.sqrt(WIDTH))


def gather(features: Tensor, foreground: Tensor, axis: int | None, shape, corners):
    encoder = Seen()
    found = SliceFeatures([encoder], axis, shape)
    with found.watching():
        encoder(features)
    found.note(torch.cat([1 - foreground, foreground], 1), corners)
    return found.rows(shape)


def test_means_over_slices_by_hand():
    """One coronal slice of 2 x 4 voxels, 1 x 2 cells with features 2 and 6; nothing predicted."""
    features = torch.tensor([[[[2.0, 6.0]]]])
    rows = gather(features, torch.zeros((1, 1, 2, 4)), 1, (2, 3, 4), [(0, 1, 0)])
    axial = projected(np.array([[2.0], [2.0], [6.0], [6.0]]))
    assert np.allclose(rows["axial.features"], axial, atol=1e-5)
    assert np.allclose(rows["sagittal.features"], projected(np.array([[4.0], [4.0]])), atol=1e-5)
    coronal = projected(np.array([[0.0], [4.0], [0.0]]))
    assert np.allclose(rows["coronal.features"], coronal, atol=1e-5)


def test_a_slice_with_a_structure_is_described_by_the_structure():
    features = torch.tensor([[[[2.0, 6.0]]]])
    foreground = torch.zeros((1, 1, 2, 4))
    foreground[0, 0, 1, 3] = 0.9
    rows = gather(features, foreground, 1, (2, 1, 4), [(0, 0, 0)])
    assert np.allclose(rows["coronal.features"], projected(np.array([[6.0]])), atol=1e-5)


def test_what_lies_outside_the_volume_is_left_out():
    """A 3-D window that begins two voxels before the volume."""
    features = torch.tensor([1.0, 5.0]).view(1, 1, 2, 1, 1)
    rows = gather(features, torch.zeros((1, 1, 4, 2, 2)), None, (2, 2, 2), [(-2, 0, 0)])
    assert np.allclose(rows["sagittal.features"], projected(np.array([[5.0], [5.0]])), atol=1e-5)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("patch", [None, (4, 4)], ids=["one window", "many windows"])
def test_every_plane_of_a_predicted_volume_has_features(dims, patch):
    sides = None if patch is None else (*patch, 4)[:dims]
    trainer = tiny_trainer("mean-teacher", dims, plan=tiny_plan(dims, patch=sides))
    judge = trainer.predictor()
    maps, features = judge.volume_and_features(image(), Control())
    assert np.array_equal(maps.probability, judge.volume(image(), Control()).probability)
    native = tuple(2 * side for side in SHAPE)
    rows = features.rows(native)
    assert set(rows) == {f"{plane}.features" for plane in Plane}
    for plane in Plane:
        found = rows[f"{plane}.features"]
        assert found.shape == (native[plane.axis], WIDTH)
        assert found.dtype == np.float32
        assert np.isfinite(found).all()
        assert np.array_equal(found[::2], found[1::2]), "two slices of one on the training grid"
        assert len(np.unique(found, axis=0)) > 1


def test_the_features_are_those_of_the_slice():
    """A 2.5-D network: changing one slice changes the features of it and its neighbours alone."""
    trainer = tiny_trainer("supervised", 2)
    judge = trainer.predictor()
    volume = image()
    changed = volume.copy()
    changed[:, 6] += 3
    first, second = (
        judge.volume_and_features(v, Control())[1].rows(SHAPE)["coronal.features"]
        for v in (volume, changed)
    )
    same = np.isclose(first, second, atol=1e-5).all(1)
    assert not same[5:8].any()
    assert np.delete(same, [5, 6, 7]).all()


def test_nothing_is_watched_afterwards():
    trainer = tiny_trainer("supervised", 2)
    judge = trainer.predictor()
    judge.volume_and_features(image(), Control())
    assert not any(encoder._forward_hooks for encoder in judge.encoders)
    assert len(judge.encoders) == 2
