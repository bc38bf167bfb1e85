"""Whole volumes from windows; members that judge each voxel by itself must not show them."""

from __future__ import annotations

import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from engine_worlds import CPU, image, tiny_plan, tiny_trainer
from torch import Tensor, nn

from sslseg.core.control import Control
from sslseg.core.errors import Cancelled
from sslseg.core.prediction import PredictionInfo
from sslseg.data.preprocessing import resample
from sslseg.inference import maps as maps_module
from sslseg.inference.maps import Maps, maps_of
from sslseg.inference.native import to_native
from sslseg.inference.pair import Pair
from sslseg.inference.predictor import Predictor
from sslseg.inference.windows import count
from sslseg.losses.consistency import mutual_information

INFO = PredictionInfo(
    case="a", version="1", run="r", method="m", step=1, time=0.0, classes=("one",)
)
PATCH = {None: (8, 8, 6), 0: (8, 6), 1: (8, 6), 2: (8, 6)}
SHAPES = [(10, 12, 8), (3, 20, 17), (4, 5, 2), (1, 9, 9), (8, 8, 1)]


def voxelwise(x: Tensor) -> list[Tensor]:
    """Two members that see the middle channel of one voxel only."""
    middle = x[:, x.shape[1] // 2 : x.shape[1] // 2 + 1]
    first = torch.softmax(torch.cat([middle, -middle, 0 * middle], 1), 1)
    return [first, torch.softmax(torch.cat([middle, 2 * middle, 0 * middle], 1), 1)]


class Middle(nn.Module):
    """A critic whose logit is the first class's probability."""

    def forward(self, p: Tensor) -> Tensor:
        return p[:, :1]


def predictor(axis: int | None, critic: nn.Module | None = None, members=voxelwise) -> Predictor:
    context = 1 if axis is None else 3
    return Predictor(members, critic, 3, axis, context, PATCH[axis], CPU.torch, None)


@pytest.fixture(params=[None, 0, 1, 2], ids=["3d", "sagittal", "coronal", "axial"])
def axis(request):
    return request.param


@pytest.mark.parametrize("shape", SHAPES)
def test_windows_do_not_show(axis, shape):
    """Larger than the patch, smaller, one voxel thin: the maps are those of the whole volume."""
    volume = image(0, shape)
    maps = predictor(axis, Middle()).volume(volume, Control())
    x = torch.from_numpy(volume.astype(np.float32))[None, None]
    first, second = voxelwise(x)
    assert maps.probability.shape == (3, *shape)
    assert np.allclose(maps.probability, ((first + second) / 2)[0].numpy(), atol=1e-5)
    assert np.allclose(maps.confidence, torch.sigmoid(first[0, 0]).numpy(), atol=1e-5)
    for values in (maps.entropy, maps.information, maps.confidence):
        assert values.shape == shape
        assert values.min() >= 0
        assert values.max() <= 1 + 1e-6


@pytest.mark.parametrize("plane", range(3))
def test_a_plane_is_the_volumes_slice(axis, plane):
    volume = image(0, (10, 12, 8))
    judge = predictor(axis, Middle())
    whole = judge.volume(volume, Control())
    for index in (0, 5, volume.shape[plane] - 1):
        alone, cut = judge.planes(volume, [(plane, index)], Control())[0], whole.slice(plane, index)
        assert np.allclose(alone.probability, cut.probability, atol=1e-5)
        assert np.allclose(alone.entropy, cut.entropy, atol=1e-5)
        assert np.allclose(alone.confidence, cut.confidence, atol=1e-5)


def test_many_planes_are_the_volumes_slices_and_cost_no_more_than_it(axis):
    volume = image(0, (10, 12, 8))
    judge = predictor(axis, Middle())
    whole = judge.volume(volume, Control())
    windows: list[int] = []

    def counted(x):
        windows.append(len(x))
        return judge.members(x)

    watched = replace(judge, members=counted)
    watched.volume(volume, Control())
    once, windows[:] = sum(windows), []
    wanted = [(1, index) for index in range(12)]
    found = watched.planes(volume, wanted, Control())
    assert sum(windows) <= once
    for (plane, index), maps in zip(wanted, found, strict=True):
        cut = whole.slice(plane, index)
        assert np.allclose(maps.probability, cut.probability, atol=1e-5)
        assert np.allclose(maps.confidence, cut.confidence, atol=1e-5)
    assert watched.planes(volume, [], Control()) == []


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("shape", [(8, 4, 6), (8, 8, 6), (3, 2, 5)])
def test_a_plane_is_the_volumes_slice_with_a_network(dims, shape):
    judge = tiny_trainer("supervised", dims).predictor()
    volume = image(0, shape)
    whole = judge.volume(volume, Control())
    assert np.allclose(
        judge.planes(volume, [(1, 1)], Control())[0].probability,
        whole.probability[:, :, 1],
        atol=1e-5,
    )


def test_neighbours_are_the_channels():
    """2.5-D: member probability 1 where the next slice is brighter; the last repeats itself."""

    def rising(x: Tensor) -> list[Tensor]:
        up = (x[:, 2:3] > x[:, 1:2]).float()
        return [torch.cat([1 - up, up, 0 * up], 1)]

    volume = np.zeros((6, 5, 4), np.float16)
    volume[:, 3:] = 1
    maps = predictor(1, members=rising).volume(volume, Control())
    found = maps.probability[1]
    assert (found[:, 2] == 1).all()
    assert np.delete(found, 2, axis=1).max() == 0


def test_many_slices_are_gathered_in_pieces(monkeypatch):
    volume = image(0, (10, 12, 8))
    whole = predictor(1, Middle()).volume(volume, Control())
    monkeypatch.setattr("sslseg.inference.predictor.SLABS_AT_ONCE", 600)
    pieces = predictor(1, Middle()).volume(volume, Control())
    assert np.array_equal(whole.probability, pieces.probability)
    assert np.array_equal(whole.confidence, pieces.confidence)


@pytest.mark.parametrize("shape", [(20, 20, 20), (4, 12, 4)])
def test_a_stop_is_heard_between_windows(axis, shape, monkeypatch):
    monkeypatch.setattr("sslseg.inference.predictor.WINDOWS_AT_ONCE", 1)
    control, seen = Control(), []

    def stopping(x: Tensor) -> list[Tensor]:
        seen.append(1)
        control.stop()
        return voxelwise(x)

    judge = predictor(axis, members=stopping)
    if shape == (4, 12, 4) and axis is None:
        shape = (4, 4, 12)
    with pytest.raises(Cancelled):
        judge.volume(image(0, shape), control)
    assert len(seen) == 1


def test_without_a_critic_there_is_no_confidence(axis):
    assert predictor(axis).volume(image(), Control()).confidence is None


def test_maps_by_hand():
    """Opposite certain members: probability 1/2, all of the doubt is disagreement."""
    stacked = torch.tensor([1.0, 0.0, 0.0, 1.0, 0.0]).view(5, 1, 1)
    maps = maps_of(stacked, 2, has_critic=True)
    assert maps.probability.flatten().tolist() == [0.5, 0.5]
    assert maps.entropy.item() == pytest.approx(1, abs=1e-4)
    assert maps.information.item() == pytest.approx(1, abs=1e-4)
    assert maps.confidence.item() == 0.5


@pytest.fixture
def parts(monkeypatch):
    """How many slices of a volume became maps together."""
    seen: list[int] = []

    def watched(members):
        seen.append(members[0].shape[2])
        return mutual_information(members)

    monkeypatch.setattr(maps_module, "mutual_information", watched)
    return seen


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((100, 7, 5), [32, 32, 36]),
        ((30, 4, 3), [8, 8, 14]),
        ((130, 1, 1), [32, 32, 32, 34]),
        ((4, 8, 8), [1, 1, 1, 1]),
        ((9, 3, 3), [9]),
    ],
)
@pytest.mark.parametrize(("classes", "members"), [(2, 1), (3, 2), (5, 5), (7, 6)])
def test_maps_of_a_volume_in_parts_are_bit_for_bit_those_of_the_whole(
    shape, expected, classes, members, parts, monkeypatch
):
    rng = torch.Generator().manual_seed(classes)
    said = [torch.randn((classes, *shape), generator=rng).softmax(0) for _ in range(members)]
    logits = torch.randn((1, *shape), generator=rng)
    mean, entropy, information = mutual_information([p.unsqueeze(0) for p in said])
    monkeypatch.setattr(maps_module, "VALUES_AT_ONCE", 1)
    found = maps_of(torch.cat([*said, logits]), classes, has_critic=True)
    assert parts == expected
    assert np.array_equal(found.probability, mean[0].numpy())
    assert np.array_equal(found.entropy, entropy[0, 0].numpy())
    assert np.array_equal(found.information, information[0, 0].numpy())
    assert np.array_equal(found.confidence, torch.sigmoid(logits[0]).numpy())


@pytest.mark.parametrize(("room", "expected"), [(1500, [11] * 5 + [15]), (10**6, [70])])
def test_parts_are_as_large_as_there_is_room(room, expected, parts, monkeypatch):
    """Of two members and two classes a slice of 4 x 8 has 128 values."""
    monkeypatch.setattr(maps_module, "VALUES_AT_ONCE", room)
    maps_of(torch.full((4, 70, 4, 8), 0.5), 2, has_critic=False)
    assert parts == expected


def numbered(shape: tuple[int, ...]) -> Maps:
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    return Maps(np.stack([values, -values]), values, values, None)


def test_maps_move_their_axes_together():
    maps = numbered((2, 3, 4))
    assert np.array_equal(maps.slice(1, 2).entropy, maps.entropy[:, 2])
    for axis in range(3):
        whole = Maps.empty(2, np.moveaxis(maps.entropy, 0, axis).shape, confidence=False)
        for first, last in ((0, 1), (1, 2)):
            part = Maps(maps.probability[:, first:last], *[maps.entropy[first:last]] * 2, None)
            whole.write(axis, first, part)
        assert np.array_equal(np.moveaxis(whole.entropy, axis, 0), maps.entropy)
        assert np.array_equal(np.moveaxis(whole.probability, axis + 1, 1), maps.probability)


@pytest.mark.parametrize("shape", [(10, 12, 8), (5, 6, 4), (20, 24, 16), (7, 3, 30)])
def test_native_grid(shape):
    maps = predictor(None, Middle()).volume(image(0, (10, 12, 8)), Control())
    found = to_native(maps, shape, INFO)
    assert found.labels.shape == shape
    assert found.labels.dtype == np.uint8
    assert found.probability.shape == (3, *shape)
    assert np.allclose(found.probability.astype(np.float32).sum(0), 1, atol=2e-3)
    for values in (found.uncertainty, found.mutual_information, found.confidence):
        assert values.shape == shape
        assert values.dtype == np.float16
        assert 0 <= values.min() <= values.max() <= 1
    assert (found.mutual_information <= found.uncertainty + 1e-2).all()


@pytest.mark.parametrize("side", range(3))
def test_native_grid_keeps_places(side):
    """A block at one end of an axis stays at that end on a grid twice as fine."""
    first = np.zeros((6, 6, 6), np.float32)
    np.moveaxis(first, side, 0)[:2] = 1
    zero = np.zeros_like(first)
    found = to_native(Maps(np.stack([1 - first, first]), zero, zero, None), (12, 12, 12), INFO)
    expected = np.zeros((12, 12, 12), np.uint8)
    np.moveaxis(expected, side, 0)[:4] = 1
    assert np.array_equal(found.labels, expected)
    assert found.confidence is None


def test_the_plan_of_a_trainer_reaches_its_predictor():
    judge = tiny_trainer("supervised", plan=tiny_plan(2, patch=(4, 6))).predictor()
    assert (judge.axis, judge.context, judge.patch, judge.classes) == (1, 3, (4, 6), 3)


def test_moved_views_of_a_voxelwise_member_change_nothing(axis):
    still = predictor(axis)
    moved = replace(still, shifts=(0, 1, 3))
    one, other = (p.volume(image(), Control()) for p in (still, moved))
    assert np.allclose(one.probability, other.probability, atol=1e-6)
    assert np.allclose(one.entropy, other.entropy, atol=1e-6)


def test_moved_views_are_averaged_where_they_saw_the_voxel():
    """A member that answers by place: class 1 in the first column of what it is given, else 0.

    Moved by one, what was the second column comes first: there half of the views say class 1.
    """

    def by_place(x: Tensor) -> list[Tensor]:
        p = torch.zeros((x.shape[0], 3, *x.shape[2:]))
        p[:, 0] = 1
        p[..., 0] = torch.tensor([0.0, 1.0, 0.0]).view(1, 3, 1)
        return [p, p]

    judge = replace(predictor(1, members=by_place), shifts=(0, 1))
    found = judge.volume(image(shape=(PATCH[1][0], 5, PATCH[1][1])), Control()).probability[1]
    assert np.allclose(found[1:, :, 0], 1)
    assert np.allclose(found[1:, :, 1], 0.5)
    assert np.allclose(found[:, :, 2:], 0)
    assert np.allclose(found[0, :, 1], 0), "the first row was never seen by the moved view"


def slow_native(maps: Maps, shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """All classes at once, as one would write it down."""
    probability = np.stack([resample(part, shape) for part in maps.probability])
    probability /= np.maximum(probability.sum(0, keepdims=True), 1e-6)
    return probability.argmax(0).astype(np.uint8), probability.astype(np.float16)


@pytest.mark.parametrize("shape", [(10, 12, 8), (7, 15, 8)])
@pytest.mark.parametrize("classes", [2, 3, 40])
def test_class_by_class_is_all_at_once(shape, classes):
    """Bit for bit on the grid of training, ties and empty voxels too; else within rounding."""
    rng = np.random.default_rng(classes)
    probability = rng.random((classes, 10, 12, 8), np.float32)
    if shape == probability.shape[1:]:
        probability[:, 0] = 0
        probability[:, 1] = 1 / classes
    else:
        probability /= probability.sum(0, keepdims=True)
    zero = np.zeros((10, 12, 8), np.float32)
    found = to_native(Maps(probability, zero, zero, None), shape, INFO)
    labels, expected = slow_native(Maps(probability, zero, zero, None), shape)
    assert np.array_equal(found.labels, labels)
    assert np.allclose(found.probability, expected, rtol=1e-3, atol=1e-6)
    if shape == probability.shape[1:]:
        assert np.array_equal(found.probability, expected)


def test_classes_are_resampled_one_after_the_other(monkeypatch):
    """Of forty no more than two are in memory at a time, in single precision."""
    made = []
    most = []

    def watched(data, shape):
        most.append(sum(each() is not None for each in made))
        resampled = resample(data, shape)
        made.append(weakref.ref(resampled))
        return resampled

    monkeypatch.setattr("sslseg.inference.native.resample", watched)
    probability = np.full((40, 10, 12, 8), 1 / 40, np.float32)
    zero = np.zeros((10, 12, 8), np.float32)
    to_native(Maps(probability, zero, zero, None), (20, 24, 16), INFO)
    assert max(most[:40]) <= 1


def counting(judge: Predictor) -> tuple[Predictor, list[int]]:
    """The predictor, and how many windows each of its passes held."""
    windows: list[int] = []

    def counted(x):
        windows.append(len(x))
        return judge.members(x)

    return replace(judge, members=counted), windows


@pytest.mark.parametrize("shape", [*SHAPES, (8, 14, 13), (31, 9, 7)])
@pytest.mark.parametrize("plane", [None, 0, 1, 2])
def test_how_many_windows_there_are_is_known_before(axis, shape, plane):
    judge, windows = counting(predictor(axis, Middle()))
    if plane is None:
        judge.volume(image(0, shape), Control())
        expected = count(shape, judge.patch, axis)
    else:
        wanted = [(plane, shape[plane] // 2)]
        judge.planes(image(0, shape), wanted, Control())
        expected = judge.windows(shape, wanted)
    assert sum(windows) == expected


@pytest.mark.parametrize("plane", [0, 1, 2])
def test_neighbours_across_another_axis_share_the_windows_around_them(axis, plane):
    volume, wanted = image(0, (40, 40, 40)), [(plane, 20), (plane, 21)]
    judge, windows = counting(predictor(axis, Middle()))
    whole = judge.volume(volume, Control())
    windows.clear()
    found = judge.planes(volume, wanted, Control())
    alone = judge.windows(volume.shape, wanted[:1])
    assert sum(windows) == judge.windows(volume.shape, wanted)
    assert sum(windows) == (2 if plane == axis else 1) * alone
    for (_, index), maps in zip(wanted, found, strict=True):
        cut = whole.slice(plane, index)
        assert np.allclose(maps.probability, cut.probability, atol=1e-5)


@pytest.mark.parametrize("wanted", [[(0, 20)], [(2, 3), (2, 30)], [(0, 0), (2, 39), (1, 7)]])
def test_a_few_slices_of_a_large_volume_cost_a_part_of_it(axis, wanted):
    """Only the windows around them are predicted, and say what those of the volume would."""
    volume = image(0, (40, 40, 40))
    judge, windows = counting(predictor(axis, Middle()))
    whole = judge.volume(volume, Control())
    all_windows, windows[:] = sum(windows), []
    found = judge.planes(volume, wanted, Control())
    assert sum(windows) <= 0.7 * all_windows
    for (plane, index), maps in zip(wanted, found, strict=True):
        cut = whole.slice(plane, index)
        assert np.allclose(maps.probability, cut.probability, atol=1e-5)
        assert np.allclose(maps.confidence, cut.confidence, atol=1e-5)


def test_seconds_are_those_of_a_window_times_their_number(axis, monkeypatch):
    judge = predictor(axis)
    monkeypatch.setattr(Predictor, "window_seconds", lambda self: 0.5)
    shape = (20, 21, 22)
    assert judge.seconds(shape) == 0.5 * count(shape, judge.patch, axis)
    pair = Pair(**vars(judge), other=judge, trust=0.5)
    assert pair.seconds(shape) == 2 * judge.seconds(shape)


def test_timing_a_window_takes_two(axis):
    judge, windows = counting(predictor(axis))
    assert judge.window_seconds() > 0
    assert windows == [1, 1]
