"""Terms of the pre-training methods against hand-made answers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from engine_worlds import tiny_batch, tiny_plan, tiny_views
from torch import Tensor, nn

from sslseg.core.annotation import IGNORE
from sslseg.core.errors import SslsegError
from sslseg.data.batch import Batch, Place
from sslseg.data.views import Views
from sslseg.methods.parameters import fill
from sslseg.networks.factory import Maker
from sslseg.networks.unet import Decoder
from sslseg.pretraining import find
from sslseg.pretraining.contrastive import finest_level, partitions, slice_pairs
from sslseg.pretraining.jigsaw import cut, one_modality, puzzle_loss, shuffled
from sslseg.pretraining.masked import masked_mse


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make(name: str, **values: object):
    return find(name)(find(name).Params.model_validate(values))


class Echo(nn.Module):
    """Gives back what it is shown, as an encoder of one level."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[Tensor] = []

    def forward(self, x: Tensor, *_: object) -> list[Tensor]:
        self.shown.append(x)
        return [x]


class Answer(nn.Module):
    def __init__(self, answer: Tensor) -> None:
        super().__init__()
        self.answer = nn.Parameter(answer)

    def forward(self, *_: object) -> Tensor:
        return self.answer


# ---- what teaches nothing ----


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("jigsaw", {"tiles": 1}, "tiles=1.*0 or at least 2"),
        ("contrastive", {"partitions": 1}, "partitions=1.*at least 2"),
        ("contrastive", {"partitions": 1, "strategy": "not-same-place"}, "partitions=1"),
        ("contrastive", {"local": 1.0}, r"local=1\.0.*less than 1"),
    ],
)
def test_settings_that_teach_nothing_are_refused(name, settings, words):
    with pytest.raises(SslsegError, match=words) as caught:
        fill(find(name).Params, settings)
    assert "pydantic" not in str(caught.value)
    assert "value error" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("jigsaw", {"tiles": 0}),
        ("jigsaw", {"tiles": 2}),
        ("contrastive", {"partitions": 1, "strategy": "views"}),
        ("contrastive", {"partitions": 2, "strategy": "not-same-place"}),
        ("contrastive", {"local": 0.0}),
    ],
)
def test_their_neighbours_are_taken(name, settings):
    filled = fill(find(name).Params, settings)
    assert {key: getattr(filled, key) for key in settings} == settings


# ---- masked reconstruction ----


def test_only_covered_voxels_count():
    x = torch.tensor([[[[1.0, 2.0, 3.0, 4.0]]]])
    said = torch.tensor([[[[9.0, 2.5, 3.0, 1.0]]]], requires_grad=True)
    covered = torch.tensor([[[[False, True, False, True]]]])
    loss = masked_mse(said, x, covered)
    assert loss.item() == pytest.approx((0.5**2 + 3.0**2) / 2)
    loss.backward()
    assert torch.count_nonzero(said.grad[~covered]) == 0
    assert torch.count_nonzero(said.grad[covered]) == 2


@pytest.mark.parametrize("dims", [2, 3])
def test_the_encoder_never_sees_what_it_must_say(dims):
    """Covered voxels are 0 in every channel; the others are shown as they are."""
    batch, echo = tiny_batch(dims, 0, 4), Echo()
    method = make("masked", share=0.5, blocks=2)
    answer = Answer(batch.x.clone())
    term = method.step(batch, tiny_views(dims=dims), {"encoder": echo, "decoder": answer}, 0.0)
    assert term.terms["reconstruction"] == 0
    term.terms["reconstruction"].backward()
    (shown,) = echo.shown
    hidden = (shown == 0).all(1, keepdim=True).expand_as(shown)
    assert hidden.float().mean().item() == pytest.approx(0.5, abs=0.1)
    assert torch.equal(shown[~hidden], batch.x[~hidden])
    wrong = Answer(torch.where(hidden, batch.x, batch.x + 7))
    again = make("masked", share=0.5, blocks=2)
    nets = {"encoder": Echo(), "decoder": wrong}
    assert again.step(batch, tiny_views(dims=dims), nets, 0.0).terms["reconstruction"] == 0


# ---- jigsaw ----


@pytest.mark.parametrize("dims", [2, 3])
def test_a_perfect_scorer_lays_the_puzzle(dims):
    tiles = cut(tiny_batch(dims, 0, 3).x, 2, 0.2, rng())
    order = torch.stack([torch.randperm(2**dims, generator=rng(n)) for n in range(3)])
    mixed = shuffled(tiles, order)
    perfect = 1000 * torch.nn.functional.one_hot(order, 2**dims).float()
    assert puzzle_loss(perfect, mixed, tiles, 0.1).item() == pytest.approx(0, abs=1e-10)
    clueless = puzzle_loss(torch.zeros_like(perfect), mixed, tiles, 0.1)
    spread = (tiles - tiles.mean(1, keepdim=True)).square().mean()
    assert clueless.item() == pytest.approx(spread.item(), rel=1e-4), "the mean tile everywhere"


def test_the_puzzle_is_recovered_in_a_whole_step():
    """The head is told the order that the step will draw; the loss compares unchanged tiles."""
    batch, views = tiny_batch(2, 0, 2), tiny_views()
    method = make("jigsaw", tiles=2, gap=0.0)
    again = tiny_views()
    cut(batch.x, 2, 0.0, again.rng)
    order = torch.stack([again.shuffled(4) for _ in range(2)])
    head = Answer(1000 * torch.nn.functional.one_hot(order, 4).float())
    found = method.step(batch, views, {"encoder": Echo(), "head": head}, 0.0)
    assert found.terms["puzzle"].item() == pytest.approx(0, abs=1e-10)


def test_tiles_come_from_their_cells_with_gaps():
    x = torch.arange(36.0).view(1, 1, 6, 6)
    tiles = cut(x, 2, 0.4, rng())
    assert tiles.shape == (1, 4, 1, 1, 1)
    for place, value in enumerate(tiles.flatten().int().tolist()):
        row, column = divmod(value, 6)
        assert (row // 3, column // 3) == divmod(place, 2)
    whole = cut(x, 2, 0.0, rng())
    assert torch.equal(whole[0, 1, 0], x[0, 0, :3, 3:])


def test_each_tile_shows_one_modality():
    """Two modalities with two neighbouring slices each: channels (a1, a2, b1, b2)."""
    tiles = torch.arange(4.0).view(1, 1, 4, 1, 1).expand(1, 40, 4, 1, 1)
    shown = one_modality(tiles, 2, rng())[0, :, :, 0, 0].int().tolist()
    assert {tuple(row) for row in shown} == {(0, 1, 0, 1), (2, 3, 2, 3)}
    assert one_modality(tiles, 1, rng()) is tiles


def test_modalities_must_divide_the_channels():
    with pytest.raises(SslsegError, match="modalities=2 for 3 channels"):
        make("jigsaw", modalities=2).build(Maker(tiny_plan(2).network))


# ---- contrastive ----


def test_pairs_of_two_items_by_strategy():
    """Items 0 and 1 lie in one part, item 2 in another; two views: rows 0 1 2 0' 1' 2'."""
    parts = torch.tensor([1, 1, 3])

    def of(strategy, row):
        pairs = slice_pairs(parts, strategy)
        return [m[row].nonzero().flatten().tolist() for m in (pairs.positive, pairs.negative)]

    assert of("views", 0) == [[3], [1, 2, 4, 5]]
    assert of("not-same-place", 0) == [[3], [2, 5]]
    assert of("same-place", 0) == [[1, 3, 4], [2, 5]]
    assert of("same-place", 5) == [[2], [0, 1, 3, 4]]


def test_partitions_follow_the_slice_axis():
    def coronal(index):
        return Place("a", 1, index, (0, 0), (9, 40, 9))

    def box(start):
        return Place("a", None, 0, (0, 0, start), (9, 9, 40))

    slices = [coronal(index) for index in (0, 9, 10, 39)]
    assert partitions(slices, 4, (4, 4)).tolist() == [0, 0, 1, 3]
    assert partitions([box(-3), box(4), box(5), box(30)], 4, (4, 4, 10)).tolist() == [0, 0, 1, 3]


@pytest.mark.parametrize("dims", [2, 3])
def test_the_encoder_is_frozen_while_the_decoder_learns(dims):
    torch.manual_seed(0)
    method = make("contrastive", local=0.5)
    nets = method.build(Maker(tiny_plan(dims).network))
    assert not any(name.startswith("decoder") for name in method.learnt(nets))
    before = {name: t.clone() for name, t in nets["encoder"].state_dict().items()}
    found = method.step(tiny_batch(dims, 0, 3), tiny_views(dims=dims), nets, 0.5).terms
    assert set(found) == {"local"}
    found["local"].backward()
    assert all(parameter.grad is None for parameter in nets["encoder"].parameters())
    after = nets["encoder"].state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    level = finest_level(nets["decoder"])
    taught = [p.grad for p in nets["decoder"].rises[level].parameters()]
    assert any(bool(g.any()) for g in taught if g is not None)
    assert any(name.startswith(f"decoder.rises.{level}.") for name in method.learnt(nets))


class ByBrightness(nn.Module):
    """The embedding (1, 0) of a bright image and (0, 1) of a dark one."""

    def forward(self, features: Tensor) -> Tensor:
        bright = features.flatten(1).mean(1) > 0
        return torch.stack([bright, ~bright], 1).float()


def test_slices_by_hand():
    """Items 0 and 1 are bright and of one part, item 2 is dark and of another.

    Similarity is 1 within a kind and 0 between them, so a pair costs ln(1 + n / e) with n
    negatives: 12 pairs of the bright with 2, 2 pairs of the dark with 4.
    """
    x = torch.tensor([1.0, 1.0, -1.0]).view(3, 1, 1, 1).expand(3, 1, 4, 4).contiguous()
    places = tuple(Place("a", 1, index, (0, 0), (9, 40, 9)) for index in (0, 9, 39))
    batch = Batch(x, torch.full((3, 4, 4), IGNORE), 0, places, plain=x)
    encoder = Echo()
    nets = {"encoder": encoder, "global": ByBrightness()}
    method = make("contrastive", strategy="same-place", temperature=1.0)
    found = method.step(batch, tiny_views(), nets, 0.0).terms["global"]
    bright, dark = math.log(1 + 2 / math.e), math.log(1 + 4 / math.e)
    assert found.item() == pytest.approx((12 * bright + 2 * dark) / 14, rel=1e-5)
    (shown,) = encoder.shown
    assert torch.equal(shown[:3], x)
    assert not torch.equal(shown[3:], x), "the other view has other intensities"


class OneLevel(Decoder):
    """Gives back what the encoder gave, as its only level."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.rises = nn.ModuleList([nn.Identity()])

    def levels(self, features: Sequence[Tensor], finest: int = 0) -> list[Tensor]:
        return [features[0]]


def test_places_by_hand(monkeypatch):
    """Of 16 places 13 are drawn; each is like itself in the other view alone.

    Every place of an image has a direction of its own, in the two images not the same one. The
    other view is three times as bright, which changes no direction: ln(1 + 24 / e).
    """
    monkeypatch.setattr(Views, "strong", lambda self, x: 3 * x)
    first = torch.eye(16)
    x = torch.stack([first, first.roll(1, 0)]).view(2, 16, 4, 4)
    batch = Batch(x, torch.full((2, 4, 4), IGNORE), 0)
    nets = {"encoder": Echo(), "decoder": OneLevel(), "local": nn.Identity()}
    method = make("contrastive", temperature=1.0)
    found = method.step(batch, tiny_views(), nets, 0.9).terms["local"]
    assert found.item() == pytest.approx(math.log(1 + 24 / math.e), rel=1e-5)
