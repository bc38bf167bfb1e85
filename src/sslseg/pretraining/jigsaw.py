"""Jigsaw puzzles: shuffled tiles are laid again."""

from __future__ import annotations

import math
from itertools import product

import torch
from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError
from torch import Tensor, nn

from sslseg.core.errors import SslsegError
from sslseg.data.batch import Batch
from sslseg.data.views import Views
from sslseg.losses.sinkhorn import sinkhorn
from sslseg.methods.base import Networks, StepTerms
from sslseg.methods.shared import ADVANCED
from sslseg.networks.factory import Maker
from sslseg.pretraining.base import Pretext, PretextParams, encoder_of

WIDTH = 64
"""Numbers that describe a tile to the head."""


class JigsawParams(PretextParams):
    """Parameters of jigsaw puzzles."""

    tiles: int = Field(
        0, ge=0, le=7, description="Tiles along each side, at least 2; 0: 3 on slices, 2 in boxes."
    )
    gap: float = Field(
        0.15, ge=0, le=0.8, description="Share of a tile's side left out, so that no borders match."
    )
    temperature: float = Field(
        0.1,
        gt=0,
        le=10,
        description="Softness of the reordering; small ones are decided.",
        json_schema_extra=ADVANCED,
    )
    modalities: int = Field(
        1,
        ge=1,
        description="Kinds of image among the channels; each tile shows one of them.",
        json_schema_extra=ADVANCED,
    )

    @field_validator("tiles")
    @classmethod
    def _more_than_one(cls, tiles: int) -> int:
        if tiles == 1:
            raise PydanticCustomError(
                "one_tile", "Input should be 0 or at least 2: one tile is no puzzle"
            )
        return tiles


class PuzzleHead(nn.Module):
    """From the features of all tiles to the score of each tile for each place."""

    def __init__(self, features: int, tiles: int) -> None:
        super().__init__()
        self.each = nn.Sequential(nn.Linear(features, WIDTH), nn.PReLU())
        self.all = nn.Linear(tiles * WIDTH, tiles * tiles)
        self.tiles = tiles

    def forward(self, features: Tensor) -> Tensor:
        """``(B * N, features)`` to scores ``(B, N, N)``: tile, place."""
        told = self.each(features).view(-1, self.tiles * WIDTH)
        return torch.as_tensor(self.all(told).view(-1, self.tiles, self.tiles))


class Jigsaw(Pretext[JigsawParams]):
    """Tiles are shuffled, and the network says how to lay them.

    Taleb et al., IPMI 2021: a shared encoder and a head score each tile for each
    place, ``A (B, N, N)``; Sinkhorn makes them a soft permutation S of exp(A / 0.1); the loss is
    the mean squared difference between the true tiles P* and the reordered ones ``S^T P``. Against
    shortcuts, tiles have gaps and intensities of their own: the encoder sees the changed tiles,
    the loss compares the unchanged ones. Choices of ours: pooled features; one linear layer over
    all tiles, since where a patch lies in the volume is not known.

    With `modalities` > 1 the channels are that many images of the same anatomy, each with its
    neighbouring slices, and every tile is shown in one of them, drawn at random. Projects hold one
    image a case today, so 1 is right for all of them.

    Defaults: tiles 0, gap 0.15, temperature 0.1, modalities 1.
    """

    name = "jigsaw"
    words = "jigsaw puzzles"
    summary = (
        "Learns to lay shuffled tiles of the images again; with three labelled slices "
        "nearly as good as contrastive, no help from six on."
    )
    source = "Taleb et al., Multimodal self-supervised learning, IPMI 2021"
    Params = JigsawParams

    def build(self, make: Maker) -> dict[str, nn.Module]:
        """Return the encoder and a head that is thrown away."""
        spec = make.spec
        if spec.in_channels % self.params.modalities:
            raise SslsegError(
                f"modalities={self.params.modalities} for {spec.in_channels} channels",
                "a number that divides the channels",
                "Leave modalities out: a project holds one image for each case.",
            )
        head = PuzzleHead(spec.channels[-1], self._tiles(spec.dims) ** spec.dims)
        return {"encoder": encoder_of(make), "head": head}

    def step(self, batch: Batch, views: Views, nets: Networks, fraction: float) -> StepTerms:
        """Return the puzzle's term."""
        count = self._tiles(batch.x.ndim - 2)
        tiles = cut(batch.x, count, self.params.gap, views.rng)
        order = torch.stack([views.shuffled(tiles.shape[1]) for _ in tiles])
        mixed = shuffled(tiles, order)
        shown = views.strong(one_modality(mixed, self.params.modalities, views.rng).flatten(0, 1))
        features = nets["encoder"](shown)[-1].flatten(2).mean(2)
        scores = nets["head"](features)
        return StepTerms({"puzzle": puzzle_loss(scores, mixed, tiles, self.params.temperature)})

    def _tiles(self, dims: int) -> int:
        return self.params.tiles or (3 if dims == 2 else 2)


def cut(x: Tensor, count: int, gap: float, rng: torch.Generator) -> Tensor:
    """Cut a grid of tiles out of ``(B, C, *S)``, each at a random place of its cell.

    Parameters
    ----------
    x : Tensor
        Images.
    count : int
        Tiles along each side.
    gap : float
        Share of a cell's side that its tile leaves out.
    rng : Generator
        On the CPU.

    Returns
    -------
    Tensor
        ``(B, N, C, *s)``, N = count ** dims, the last axis changing fastest.
    """
    cells = [max(1, side // count) for side in x.shape[2:]]
    sides = [max(1, math.floor(cell * (1 - gap))) for cell in cells]
    tiles = []
    for place in product(range(count), repeat=len(cells)):
        tile = x
        for axis, (index, cell, side) in enumerate(zip(place, cells, sides, strict=True)):
            spare = int(torch.randint(0, cell - side + 1, (1,), generator=rng))
            start = min(index * cell + spare, x.shape[axis + 2] - side)
            tile = tile.narrow(axis + 2, start, side)
        tiles.append(tile)
    return torch.stack(tiles, dim=1)


def shuffled(tiles: Tensor, order: Tensor) -> Tensor:
    """Return tiles ``(B, N, ...)`` in the `order` ``(B, N)``: tile i is the true tile order[i]."""
    return torch.stack([item[each] for item, each in zip(tiles, order, strict=True)])


def one_modality(tiles: Tensor, modalities: int, rng: torch.Generator) -> Tensor:
    """Show each tile of ``(B, N, C, *s)`` in one modality, drawn at random, in the place of all.

    The channels are modalities one after the other, each with its neighbouring slices.
    """
    if modalities == 1:
        return tiles
    batch, number, channels = tiles.shape[:3]
    groups = tiles.reshape(batch * number, modalities, channels // modalities, *tiles.shape[3:])
    drawn = torch.randint(0, modalities, (batch * number,), generator=rng)
    chosen = groups[torch.arange(batch * number), drawn].unsqueeze(1)
    return chosen.expand_as(groups).reshape(tiles.shape)


def puzzle_loss(scores: Tensor, mixed: Tensor, tiles: Tensor, temperature: float) -> Tensor:
    """Return the mean squared difference between true and softly reordered tiles.

    Parameters
    ----------
    scores : Tensor
        ``(B, N, N)``: of each shuffled tile for each place.
    mixed, tiles : Tensor
        ``(B, N, C, *s)``: shuffled and in their true order.
    temperature : float
        Of the Sinkhorn operator.
    """
    soft = sinkhorn(scores, temperature)
    laid = soft.transpose(1, 2) @ mixed.flatten(2).float()
    return (laid - tiles.flatten(2).float()).square().mean()
