"""From a plan to a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from sslseg.networks.unet import Decoder, Encoder, Sizes, UNet, Upsample


class NetworkSpec(BaseModel):
    """Everything that fixes a segmentor's shape.

    Parameters
    ----------
    dims : int
        2 for 2.5-D (neighbouring slices as channels), 3 for 3-D.
    in_channels, classes : int
        Input channels (image channels x context slices) and classes with background.
    channels, strides : tuple
        Features of each level; stride between levels, per axis.
    dropout : float
        Probability in every residual unit.
    coarse : int or None
        Spatial axis along which voxels are so long that little of a shape is left; None where
        all sides are alike, and in 2-D.
    """

    model_config = ConfigDict(frozen=True)
    dims: int
    in_channels: int
    classes: int
    channels: tuple[int, ...]
    strides: tuple[tuple[int, ...], ...]
    dropout: float = 0.0
    coarse: int | None = None

    @property
    def divisor(self) -> tuple[int, ...]:
        """By what each patch side must be divisible."""
        sides = [1] * self.dims
        for stride in self.strides:
            sides = [side * step for side, step in zip(sides, stride, strict=True)]
        return tuple(sides)

    def steps(self, thin: int | None) -> tuple[Sizes, ...]:
        """Return the strides; none along the axis `thin`."""
        return tuple(_flat(stride, thin) for stride in self.strides)

    def kernels(self, thin: int | None) -> tuple[Sizes, ...]:
        """Return the kernel of every level; flat along the axis `thin` from the second on.

        The first level keeps its depth, so that a thin network still sees its neighbours.
        """
        full = (3,) * self.dims
        return (full, *(_flat(full, thin) for _ in self.channels[1:]))


def _flat(sizes: Sizes, thin: int | None) -> Sizes:
    return tuple(1 if axis == thin else size for axis, size in enumerate(sizes))


@dataclass(frozen=True)
class Maker:
    """Makes networks of one plan, each with new random weights from torch's generator.

    Parameters
    ----------
    spec : NetworkSpec
        The plan's.
    """

    spec: NetworkSpec

    def __call__(
        self,
        *,
        upsample: Upsample = "linear",
        deep: bool = False,
        thin: int | None = None,
        dropout: float | None = None,
    ) -> UNet:
        """Return a segmentor ``(B, in_channels, *S)`` to ``(B, classes, *S)``.

        Parameters
        ----------
        upsample : str
            How the decoder grows.
        deep : bool
            Whether every level of the decoder has a head.
        thin : int or None
            Spatial axis along which it neither strides nor convolves beyond its first level:
            the view of one plane.
        dropout : float or None
            Instead of the plan's.
        """
        share = self.spec.dropout if dropout is None else dropout
        spec = self.spec
        encoder = Encoder(
            spec.in_channels, spec.channels, spec.steps(thin), spec.kernels(thin), share
        )
        return UNet(encoder, self.decoder(upsample=upsample, deep=deep, thin=thin, dropout=share))

    def planes(self, axes: Sequence[int], dropout: float | None = None) -> list[UNet]:
        """Return a flat network for each of up to three axes: the plane across it.

        Where voxels are long along one axis (`NetworkSpec.coarse`), the planes along it show
        little. Then all networks read the plane across it, and differ in how they grow.

        Parameters
        ----------
        axes : sequence of int
            Spatial axes.
        dropout : float or None
            Instead of the plan's.
        """
        coarse = self.spec.coarse
        if coarse is None:
            return [self(thin=axis, dropout=dropout) for axis in axes]
        ways: tuple[Upsample, ...] = get_args(Upsample)
        return [
            self(thin=coarse, upsample=way, dropout=dropout)
            for _, way in zip(axes, ways, strict=False)
        ]

    def decoder(
        self,
        *,
        upsample: Upsample = "linear",
        deep: bool = False,
        thin: int | None = None,
        dropout: float | None = None,
    ) -> Decoder:
        """Return a decoder for the features of a network of the same plan; see `__call__`."""
        return Decoder(
            self.spec.classes,
            self.spec.channels,
            self.spec.steps(thin),
            self.spec.kernels(thin),
            self.spec.dropout if dropout is None else dropout,
            upsample,
            deep=deep,
        )


def flattened(tensors: Mapping[str, Tensor], part: nn.Module) -> dict[str, Tensor]:
    """Return `tensors` with each kernel summed along the axes where that of `part` is flat.

    Inside a volume that does not change along those axes, a summed kernel says the same. Where the
    stride was along them alone, the shortcut of `part` is one voxel wide and so sums all axes.
    """
    shapes = {name: value.shape for name, value in part.state_dict().items()}
    return {name: _summed(value, shapes.get(name, value.shape)) for name, value in tensors.items()}


def _summed(kernel: Tensor, shape: Sequence[int]) -> Tensor:
    """Return the kernel ``(out, in, *K)`` summed where `shape` has 1 instead of K."""
    if kernel.ndim != len(shape):
        return kernel
    flat = [axis for axis in range(2, kernel.ndim) if shape[axis] == 1 < kernel.shape[axis]]
    return kernel.sum(flat, keepdim=True) if flat else kernel


def memory_format(dims: int) -> torch.memory_format:
    """Return the channels-last layout for `dims`: the faster one on CPUs and tensor cores."""
    return torch.channels_last if dims == 2 else torch.channels_last_3d
