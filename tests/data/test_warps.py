from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from engine_worlds import tiny_batch, tiny_views

from sslseg.core.annotation import IGNORE
from sslseg.data.batch import Batch
from sslseg.data.views import Views
from sslseg.data.warp import Warp, WarpRange, random_warp

STILL = WarpRange(rotation=0, scale=0, shear=0, shift=0, elastic=0)
SIDES = [(7, 9), (16, 12), (5, 6, 7), (8, 8, 6), (1, 9)]


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def cube(sides: tuple[int, ...], items: int = 4) -> torch.Tensor:
    """A smooth ball ``(B, 1, *S)`` whose 0.5 isosurface is a painted shape."""
    axes = [torch.linspace(-1, 1, side) for side in sides]
    radius = torch.stack(torch.meshgrid(*axes, indexing="ij")).square().sum(0).sqrt()
    return torch.sigmoid(8 * (0.6 - radius)).expand(items, 1, *sides).contiguous()


@pytest.mark.parametrize("sides", SIDES)
def test_identity(sides):
    x = torch.randn((2, 3, *sides))
    y = torch.randint(-1, 3, (2, *sides))
    still = random_warp(x, STILL, (False,) * len(sides), rng())
    assert torch.allclose(still.image(x), x, atol=1e-5)
    assert torch.equal(still.target(y), y)
    assert still.validity().all()


@pytest.mark.parametrize("sides", [(6, 8), (4, 6, 8)])
@pytest.mark.parametrize("axis", [0, 1])
def test_flips_mirror_one_axis_of_image_and_target(sides, axis):
    x = torch.arange(math.prod(sides)).float().view(1, 1, *sides).repeat(16, 1, *[1] * len(sides))
    allowed = tuple(a == axis for a in range(len(sides)))
    warp = random_warp(x, STILL, allowed, rng())
    moved, target = warp.image(x), warp.target(x[:, 0].long())
    mirrored = x.flip(axis + 2)
    kinds = set()
    for item in range(16):
        flipped = torch.allclose(moved[item], mirrored[item], atol=1e-2)
        assert flipped or torch.allclose(moved[item], x[item], atol=1e-2)
        expected = mirrored if flipped else x
        assert torch.equal(target[item], expected[item, 0].long())
        kinds.add(flipped)
    assert kinds == {True, False}


@pytest.mark.parametrize("sides", [(8, 10), (4, 6, 8)])
def test_a_shift_by_whole_voxels(sides):
    """Two voxels along the last axis: what comes from outside is IGNORE, or the border."""
    ndim = len(sides)
    theta = torch.eye(ndim, ndim + 1).unsqueeze(0)
    theta[0, 0, -1] = 2 * 2 / sides[-1]
    grid = torch.nn.functional.affine_grid(theta, [1, 1, *sides], align_corners=False)
    warp = Warp(grid)
    x, y = torch.randn((1, 1, *sides)), torch.randint(0, 3, (1, *sides))
    assert torch.equal(warp.target(y)[..., :-2], y[..., 2:])
    assert (warp.target(y)[..., -2:] == IGNORE).all()
    assert torch.allclose(warp.image(x)[..., :-2], x[..., 2:], atol=1e-5)
    assert torch.allclose(warp.image(x)[..., -1], x[..., -1], atol=1e-5)
    assert torch.equal(warp.validity()[:, 0] == 0, warp.target(y) == IGNORE)


@pytest.mark.parametrize("sides", [(32, 24), (16, 20, 12)])
def test_image_and_target_move_together(sides):
    """Warping a painted shape agrees with painting the warped image, but for its rim."""
    x = cube(sides)
    painted = (x[:, 0] > 0.5).long()
    warp = random_warp(x, WarpRange(), (False,) * len(sides), rng(1))
    target, image = warp.target(painted), warp.image(x)[:, 0]
    clear = ((image - 0.5).abs() > 0.3) & (target != IGNORE)
    assert clear.float().mean() > 0.4
    assert torch.equal(target[clear] == 1, image[clear] > 0.5)
    assert not torch.equal(target, painted)


@pytest.mark.parametrize("sides", SIDES)
def test_warped_targets_hold_no_new_values(sides):
    """Nearest neighbour: classes 0 and 2 never blend into 1, and nothing is NaN."""
    x = torch.randn((8, 1, *sides))
    y = torch.randint(0, 2, (8, *sides)) * 2
    y[:, :1] = IGNORE
    strong = WarpRange(rotation=1.5, scale=0.7, shift=0.6, elastic=0.2)
    warp = random_warp(x, strong, (True,) * len(sides), rng())
    assert set(warp.target(y).unique().tolist()) <= {IGNORE, 0, 2}
    assert torch.isfinite(warp.image(x)).all()
    assert torch.isfinite(warp.grid).all()


def test_same_generator_same_warp():
    x = torch.zeros((2, 1, 6, 6))
    a, b, c = (random_warp(x, WarpRange(), (True, True), rng(s)).grid for s in (0, 0, 1))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


@pytest.mark.parametrize("dims", [2, 3])
def test_views_keep_shape_and_frame(dims):
    """Strong and noisy views move no voxel: a shape stays where it is, up to its rim."""
    x = 4 * cube((16,) * dims)
    views = tiny_views(dims=dims)
    for changed in (views.strong(x), views.noisy(x)):
        assert changed.shape == x.shape
        assert torch.isfinite(changed).all()
        assert not torch.equal(changed, x)
        inside, outside = x > 3.5, x < 0.5
        for item in range(len(x)):
            levels = changed[item][inside[item]], changed[item][outside[item]]
            assert levels[0].mean() > levels[1].mean() + 1


def test_noise_is_clipped_and_of_its_deviation():
    noise = tiny_views().noisy(torch.zeros((4, 3, 50, 50)))
    assert noise.abs().max() == pytest.approx(0.2)
    assert noise.std().item() == pytest.approx(0.0959, abs=0.001)


@pytest.mark.parametrize("dims", [2, 3])
def test_views_of_an_empty_stream_and_a_constant_item(dims):
    views = tiny_views(dims=dims)
    assert views.strong(torch.zeros((0, 3, *(8,) * dims))).shape[0] == 0
    assert torch.isfinite(views.strong(torch.ones((2, 1, *(1,) * dims)))).all()


@pytest.mark.parametrize("dims", [2, 3])
def test_augmented_moves_image_and_target_alike(dims):
    batch = tiny_batch(dims, 3, 1)
    views = Views(rng(), STILL, (False,) * dims)
    found = views.augmented(batch)
    assert found.labelled == 3
    assert torch.equal(found.y, batch.y)
    ball = cube((16,) * dims)
    painted = Batch(4 * ball, (ball[:, 0] > 0.5).long(), 4)
    moved = replace(views, span=WarpRange()).augmented(painted)
    for x, y in zip(moved.x, moved.y, strict=True):
        assert x[0][y == 1].mean() > x[0][y == 0].mean() + 1


@pytest.mark.parametrize("dims", [2, 3])
def test_boxes_have_the_sides_asked_for(dims):
    mask = tiny_views(dims=dims).box(torch.zeros((32, 2, *(20,) * dims)), 0.3, 0.6)
    assert mask.shape == (32, 1, *(20,) * dims)
    for item in mask[:, 0]:
        for axis in range(dims):
            assert 6 <= int(item.sum(axis).max()) <= 12
    assert len({int(item.sum()) for item in mask}) > 3


def test_shuffled_is_a_permutation():
    assert sorted(tiny_views().shuffled(9).tolist()) == list(range(9))


@pytest.mark.parametrize("sides", [(8, 40), (40, 6, 40)])
def test_long_sides_are_not_turned_into_short_ones(sides):
    """What is annotated in the middle of a thin patch stays in it."""
    x = torch.zeros((16, 1, *sides))
    y = torch.full((16, *sides), IGNORE)
    thin = min(range(len(sides)), key=lambda axis: sides[axis])
    y.movedim(thin + 1, 1)[:, sides[thin] // 2] = 1
    span = WarpRange(scale=0.0, shift=0.0, elastic=0.0)
    warp = random_warp(x, span, (False,) * len(sides), torch.Generator().manual_seed(0))
    kept = (warp.target(y) == 1).flatten(1).sum(1) / (y == 1).flatten(1).sum(1)
    assert kept.min() > 0.6


def test_sides_that_are_alike_are_turned():
    x, span = torch.zeros((4, 1, 12, 20)), WarpRange(scale=0.0, shear=0.0, shift=0.0, elastic=0.0)
    grid = random_warp(x, span, (False, False), torch.Generator().manual_seed(0)).grid
    straight = random_warp(x, WarpRange(0, 0, 0, 0, 0), (False, False), torch.Generator()).grid
    assert (grid - straight).abs().amax((1, 2, 3)).min() > 0.01
