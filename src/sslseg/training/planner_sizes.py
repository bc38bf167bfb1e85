"""How large a plan is made: levels of the network, patches, batches, looks of a prediction."""

from __future__ import annotations

import math
from collections.abc import Sequence

from sslseg.core.errors import SslsegError
from sslseg.methods.shared import TrainingParams
from sslseg.networks.factory import NetworkSpec
from sslseg.training.device import Device

PIXELS_CPU, PIXELS_GPU = 96 * 96, 384 * 384
VOXELS_CPU, VOXELS_GPU = 48 * 48 * 48, 128 * 128 * 128
"""Of a patch. On a CPU a step with larger ones takes so long that minutes are too few of them."""

BATCH_PIXELS_CPU, BATCH_VOXELS_CPU = 16 * 48 * 48, 64 * 64 * 64
"""Of all labelled items of a batch, where that allows the fewest."""

WIDTH_PLAIN, WIDTH, WIDTH_SLICES_GPU = 16, 32, 48
"""Features of the first level: on CPUs without fast bfloat16, elsewhere, and of slices on a GPU.

Half the features make about twice the steps; where steps are few that gains more than it costs.
"""

MANY_LOOKS_CPU, MANY_LOOKS_GPU = 500_000, 16_000_000
"""Voxels of the largest volume up to which a prediction is the mean of four looks."""

SHIFTS = ((0,), (0, 3), (0, 3, 5), (0, 2, 3, 5))
"""By how many voxels each look moves the windows, where there are one to four."""

ENOUGH_ALONE = 16**3
"""Voxels from which one item alone gives batch norm something to average."""

FEWEST_BOXES, FEWEST_SLICES = 2, 4
"""Labelled items in a batch, where nobody said how many and no other network needs the room."""

BYTES = 6000
"""About what a voxel of a labelled item, and of the unlabelled one beside it, takes to learn."""


def room(dims: int, device: Device) -> int:
    """Return how many voxels a patch may have so that the smallest batch fits the memory."""
    fewest = FEWEST_SLICES if dims == 2 else FEWEST_BOXES
    return max(ENOUGH_ALONE, device.memory // (fewest * BYTES))


def bounded(sides: Sequence[int], device: Device, longest: int) -> list[int]:
    """Cut sides to `longest`; where that is 0, the longest ones until they suit the device."""
    if longest:
        return [min(side, longest) for side in sides]
    if len(sides) == 2:
        usual = PIXELS_CPU if device.is_cpu else PIXELS_GPU
    else:
        usual = VOXELS_CPU if device.is_cpu else VOXELS_GPU
    most = min(usual, room(len(sides), device))
    cut = list(sides)
    while math.prod(cut) > most:
        cut[cut.index(max(cut))] -= 1
    return cut


def make_network(
    sides: Sequence[int],
    context: int,
    classes: int,
    device: Device,
    params: TrainingParams,
    coarse: int | None,
) -> NetworkSpec:
    """Halve each axis while its patch side stays at 5 or more, at most four times."""
    dims = len(sides)
    strides: list[tuple[int, ...]] = []
    left = [float(side) for side in sides]
    while len(strides) < 4 and max(left) >= 10:
        stride = tuple(2 if side >= 10 else 1 for side in left)
        left = [math.ceil(side / step) for side, step in zip(left, stride, strict=True)]
        strides.append(stride)
    strides = strides or [(1,) * dims]
    width = params.width or usual_width(dims, device)
    channels = tuple(min(width * 2**level, 320) for level in range(len(strides) + 1))
    return NetworkSpec(
        dims=dims,
        in_channels=context,
        classes=classes,
        channels=channels,
        strides=tuple(strides),
        dropout=params.dropout,
        coarse=coarse,
    )


def is_plain(device: Device) -> bool:
    """Tell whether it is a CPU that float32 is fastest on."""
    return device.is_cpu and device.amp is None


def usual_width(dims: int, device: Device) -> int:
    """Return the features of the first level where nobody asked for a number."""
    if is_plain(device):
        return WIDTH_PLAIN
    return WIDTH if device.is_cpu or dims == 3 else WIDTH_SLICES_GPU


def kept(before: NetworkSpec | None, anew: NetworkSpec) -> NetworkSpec:
    """Return the network of before where it still fits: only then can a run go on from it.

    It fits where it halves each side at most once more or less often than one made anew: where
    volumes are added, their median side soon passes a limit, and passes it back.
    """
    if before is None or before.channels[0] != anew.channels[0]:
        return anew
    levels = {"channels": anew.channels, "strides": anew.strides}
    if before.model_copy(update=levels) != anew:
        return anew
    pairs = zip(before.divisor, anew.divisor, strict=True)
    return before if all(max(pair) <= 2 * min(pair) for pair in pairs) else anew


def rounded(sides: Sequence[int], divisor: Sequence[int], most: float) -> tuple[int, ...]:
    """Round sides up to the network's divisor; the longest ones down where that is over `most`."""
    patch = [math.ceil(side / step) * step for side, step in zip(sides, divisor, strict=True)]
    while math.prod(patch) > most and max(patch) > max(divisor):
        longest = patch.index(max(patch))
        patch[longest] -= divisor[longest]
    return tuple(patch)


def batch(patch: Sequence[int], device: Device, crowd: int) -> int:
    """Return the labelled items of a batch: about 37,000 voxels of slices on a CPU, more on a GPU.

    Several networks share them; small patches need two for batch norm.
    """
    alone = 1 if math.prod(patch) >= ENOUGH_ALONE else 2
    return max(alone, _batch(patch, device) // crowd)


def _batch(patch: Sequence[int], device: Device) -> int:
    voxels = math.prod(patch)
    if len(patch) == 3:
        most = BATCH_VOXELS_CPU if device.is_cpu else min(2 * VOXELS_GPU, device.memory // BYTES)
        return min(8, max(FEWEST_BOXES, most // voxels))
    most = BATCH_PIXELS_CPU if device.is_cpu else min(32 * 256 * 256, device.memory // BYTES)
    return min(32, max(FEWEST_SLICES, most // voxels))


def check_memory(patch: Sequence[int], labelled: int, device: Device, asked: int) -> None:
    """Refuse a patch that was asked for and that this device cannot hold.

    Raises
    ------
    SslsegError
        When a batch of such patches takes more than all memory.
    """
    most = device.memory // (labelled * BYTES)
    if asked and math.prod(patch) > most:
        sides = " x ".join(map(str, patch))
        raise SslsegError(
            f"patch={asked}, which are {labelled} labelled patches of {sides} voxels in a batch",
            f"at most {most:,} voxels in each, which is what this device holds",
            "Choose a smaller patch, or a smaller batch.",
        )


def choose_shifts(voxels: int, patch: Sequence[int], device: Device, looks: int) -> tuple[int, ...]:
    """Return by how much each window is moved: more looks where a volume costs little."""
    small = MANY_LOOKS_CPU if device.is_cpu else MANY_LOOKS_GPU
    chosen = looks or (4 if voxels <= small else 2 if voxels <= 8 * small else 1)
    return tuple(shift for shift in SHIFTS[chosen - 1] if shift < min(patch))
