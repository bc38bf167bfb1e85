"""Global and local contrastive learning: like is near like, unlike is far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError
from torch import Tensor, nn

from sslseg.data.batch import Batch, Place
from sslseg.data.views import Views
from sslseg.losses.contrastive import info_nce
from sslseg.methods.base import Networks, StepTerms
from sslseg.methods.shared import ADVANCED, CriticParams
from sslseg.networks.factory import Maker
from sslseg.networks.unet import Decoder
from sslseg.pretraining.base import Pretext, PretextParams, prefixed

WIDTH = 128
"""Numbers of an embedding (the paper's)."""

REGIONS = 13
"""Places of a feature map that are compared (the paper's)."""

DEPTH = 0.6
"""Share of the decoder's levels that learn (the paper's 3 of 5)."""

Strategy = Literal["same-place", "not-same-place", "views"]


class ContrastiveParams(PretextParams):
    """Parameters of contrastive learning."""

    strategy: Strategy = Field(
        "same-place",
        description="Slices at the same height of other volumes: are alike, may be alike "
        "(not-same-place), or count as unlike (views; right where volumes show different regions).",
    )
    partitions: int = Field(
        4,
        ge=1,
        le=64,
        description="Parts into which the height of a volume is divided; 1 only with views.",
    )
    local: float = Field(
        0.5, ge=0, lt=1, description="Share of the run, at its end, that teaches the decoder."
    )
    temperature: float = Field(
        0.1,
        gt=0,
        le=10,
        description="How hard the nearest unlike images are pushed away; small is harder.",
        json_schema_extra=ADVANCED,
    )

    @field_validator("partitions")
    @classmethod
    def _something_is_unlike(cls, partitions: int, info: ValidationInfo) -> int:
        if partitions == 1 and info.data.get("strategy") in ("same-place", "not-same-place"):
            raise PydanticCustomError(
                "one_partition",
                "Input should be at least 2, else no slices are unlike, unless strategy=views",
            )
        return partitions


class GlobalHead(nn.Module):
    """From the encoder's features to one embedding of an image."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(features, features), nn.ReLU(), nn.Linear(features, WIDTH, bias=False)
        )

    def forward(self, features: Tensor) -> Tensor:
        """``(B, features, *s)`` to ``(B, 128)``."""
        return torch.as_tensor(self.layers(features.flatten(2).mean(2)))


class LocalHead(nn.Module):
    """From a decoder level to an embedding of every place: two 1x1 convolutions."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(features, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH, bias=False)
        )

    def forward(self, features: Tensor) -> Tensor:
        """``(B, R, features)`` to ``(B, R, 128)``."""
        return torch.as_tensor(self.layers(features))


@dataclass(frozen=True)
class Pairs:
    """Which of the embeddings attract and which repel each other, both ``(M, M)`` bool."""

    positive: Tensor
    negative: Tensor


class Contrastive(Pretext[ContrastiveParams]):
    """First whole slices, then places within a slice, are told apart.

    Chaitanya et al., NeurIPS 2020. Global: two views of every slice; volumes are
    cut into partitions along the slice axis. Positives are the other view (`views`, G^R); slices
    of the same partition are no negatives either (`not-same-place`, G^D-), or positives too
    (`same-place`, G^D). Local, with the encoder frozen: a place of a feature map after the first
    60 % of the decoder's levels is like itself in a view of other intensities, unlike the other
    places. Both with InfoNCE.

    Where fields of view differ, the same relative height shows other anatomy: use `views`. Choices
    of ours: pooled features instead of flattened ones, so that any patch fits; places of 1 voxel;
    all other places of both views as negatives; in 3-D the height is that of the box's centre.

    Defaults: strategy same-place, partitions 4, local 0.5, temperature 0.1.
    """

    name = "contrastive"
    words = "contrastive learning"
    summary = (
        "Learns which slices, and which places of a slice, show the same anatomy; "
        "it helped with three labelled slices, not from six on."
    )
    source = "Chaitanya et al., NeurIPS 2020"
    Params = ContrastiveParams

    def __init__(self, params: ContrastiveParams, critic: CriticParams | None = None) -> None:
        super().__init__(params, critic)
        self._decoder_learnt = False

    def build(self, make: Maker) -> dict[str, nn.Module]:
        """Return encoder and decoder, and two heads that are thrown away."""
        net, spec = make(), make.spec
        finest = finest_level(net.decoder)
        width = spec.channels[finest - 1] if finest else spec.classes
        return {
            "encoder": net.encoder,
            "decoder": net.decoder,
            "global": GlobalHead(spec.channels[-1]),
            "local": LocalHead(width),
        }

    def step(self, batch: Batch, views: Views, nets: Networks, fraction: float) -> StepTerms:
        """Return the global term, or in the last part of the run the local one."""
        if fraction < 1 - self.params.local:
            return StepTerms({"global": self._global(batch, views, nets)})
        return StepTerms({"local": self._local(batch.x, views, nets)})

    def _global(self, batch: Batch, views: Views, nets: Networks) -> Tensor:
        plain = batch.x if batch.plain is None else batch.plain
        other = views.strong(views.warp(plain).image(plain))
        z = nets["global"](nets["encoder"](torch.cat([batch.x, other]))[-1])
        parts = partitions(batch.places, self.params.partitions, batch.x.shape[2:])
        pairs = slice_pairs(parts, self.params.strategy)
        positive, negative = pairs.positive.to(z.device), pairs.negative.to(z.device)
        return info_nce(z, positive, negative, self.params.temperature)

    def _local(self, x: Tensor, views: Views, nets: Networks) -> Tensor:
        decoder = nets["decoder"]
        assert isinstance(decoder, Decoder)
        self._decoder_learnt = True
        nets["encoder"].eval()  # frozen: its batch-norm statistics too
        with torch.no_grad():
            features = nets["encoder"](torch.cat([x, views.strong(x)]))
        level = decoder.levels(features, finest_level(decoder))[0].flatten(2)
        chosen = torch.randperm(level.shape[2], generator=views.rng)[:REGIONS]
        places = nets["local"](level[..., chosen.to(x.device)].transpose(1, 2))
        z = torch.cat(places.chunk(2), dim=1)
        pairs = slice_pairs(torch.arange(len(chosen)), "views")
        positive, negative = pairs.positive.to(z.device), pairs.negative.to(z.device)
        return info_nce(z, positive, negative, self.params.temperature)

    def learnt(self, nets: Networks) -> dict[str, Tensor]:
        """Return the encoder, and the decoder's levels once they have learnt."""
        decoder = nets["decoder"]
        assert isinstance(decoder, Decoder)
        found = super().learnt(nets)
        if not self._decoder_learnt:
            return found
        for level in range(finest_level(decoder), len(decoder.rises)):
            found |= prefixed(f"decoder.rises.{level}.", decoder.rises[level])
        return found


def finest_level(decoder: Decoder) -> int:
    """Return the finest level that learns: the first 60 % of the way up, at least one."""
    count = len(decoder.rises)
    return count - max(1, round(DEPTH * count))


def partitions(places: Sequence[Place], count: int, patch: Sequence[int]) -> Tensor:
    """Return ``(B,)`` in which of `count` parts of its volume's height each item lies.

    The height is along the slice axis in 2.5-D, along the axial one (of the centre) in 3-D.
    """
    heights = []
    for place in places:
        if place.axis is None:
            middle, side = place.start[2] + patch[2] / 2, place.shape[2]
        else:
            middle, side = place.index + 0.5, place.shape[place.axis]
        heights.append(min(max(middle / side, 0.0), 1 - 1e-6))
    return torch.tensor([int(height * count) for height in heights])


def slice_pairs(parts: Tensor, strategy: Strategy) -> Pairs:
    """Return the pairs among two views of each item, view after view.

    Parameters
    ----------
    parts : Tensor
        ``(B,)``: the partition of each item.
    strategy : str
        As in `ContrastiveParams`.
    """
    item = torch.arange(len(parts)).repeat(2)
    part = parts.repeat(2)
    itself = torch.eye(len(item), dtype=torch.bool)
    same_item = item.unsqueeze(0) == item.unsqueeze(1)
    same_part = (part.unsqueeze(0) == part.unsqueeze(1)) | same_item
    alike = same_part if strategy == "same-place" else same_item
    kept = ~same_item if strategy == "views" else ~same_part
    return Pairs(alike & ~itself, kept)
