"""Auto-configuration: from spacings, shapes, annotated planes and the device to a plan."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from statistics import median

from pydantic import BaseModel, ConfigDict

from sslseg.core.geometry import Plane, first_plane, is_strip
from sslseg.core.volume import CaseRecord
from sslseg.data.preprocessing import Spacing, grid_shape
from sslseg.data.project import Coverage
from sslseg.data.sampling import PatchPlan
from sslseg.methods.shared import TrainingParams
from sslseg.networks.factory import NetworkSpec
from sslseg.training.device import Device

ANISOTROPIC = 2.5
"""Ratio of voxel sizes from which slices are thick and 3-D convolutions waste them."""

SAME_SPACING = 0.15
"""Relative difference below which a case keeps its own grid."""

PIXELS_CPU, PIXELS_GPU = 192 * 192, 384 * 384
VOXELS_CPU, VOXELS_GPU = 64 * 64 * 64, 128 * 128 * 128
MANY_LOOKS_CPU, MANY_LOOKS_GPU = 500_000, 16_000_000
"""Voxels of the largest volume up to which a prediction is the mean of four views."""

ENOUGH_ALONE = 16**3
"""Voxels from which one item alone gives batch norm something to average."""

MINUTES_CPU, MINUTES_GPU = 4.0, 2.0

BOXES_TAKE_MINUTES = 3.0
"""A shorter run on a CPU learns from slices of one plane even where several are labelled, or whole
volumes: a network of boxes would take a third of the steps or fewer."""


class Plan(BaseModel):
    """Everything that fixes a training besides method, seed and length.

    Parameters
    ----------
    network : NetworkSpec
        Of each segmentor.
    spacing : tuple of float or None
        Training grid in mm along RAS axes; None keeps a case's own.
    axis : int or None
        2.5-D: the axis across which slices are cut; None in 3-D.
    context, patch, labelled, unlabelled
        As in `PatchPlan`.
    learning_rate, weight_decay : float
        Of AdamW.
    shifts : tuple of int
        As in `Predictor`.
    islands : bool
        Whether predictions may have pieces far smaller than the object.
    words : tuple of str
        What was chosen and why, for the screen.
    boxes : Plan or None
        Of the network of boxes that this one teaches in the second part of a run (`Relay`).
    """

    model_config = ConfigDict(frozen=True)
    network: NetworkSpec
    spacing: Spacing
    axis: int | None
    context: int
    patch: tuple[int, ...]
    labelled: int
    unlabelled: int
    learning_rate: float
    weight_decay: float
    shifts: tuple[int, ...] = (0,)
    islands: bool = True
    words: tuple[str, ...]
    boxes: Plan | None = None

    @property
    def patches(self) -> PatchPlan:
        """The sampler's part of the plan."""
        return PatchPlan(self.axis, self.context, self.patch, self.labelled, self.unlabelled)


def make_plan(
    cases: Sequence[CaseRecord],
    covered: Coverage,
    classes: int,
    device: Device,
    params: TrainingParams,
    crowd: int = 1,
    minutes: float | None = None,
) -> Plan:
    """Choose network, grid, patch, batch and width.

    Parameters
    ----------
    cases : sequence of CaseRecord
        All cases of the project.
    covered : Coverage
        Which planes are annotated, and whether whole volumes are.
    classes : int
        With background.
    device : Device
        Where it will run.
    params : TrainingParams
        What the user fixed.
    crowd : int
        By what the batch is divided, as `Method.crowd`.
    minutes : float or None
        How long the run lasts; None where it counts steps.
    """
    spacing, spacing_words = choose_spacing(cases)
    patience = minutes if device.is_cpu and minutes is not None else math.inf
    axis, axis_words = choose_axis(cases, covered, params, patience)
    shapes = [grid_shape(case, spacing) for case in cases]
    # The median, as nnU-Net has it: with the largest, most volumes would be padded far.
    sides = [math.ceil(median(shape[a] for shape in shapes)) for a in range(3) if a != axis]
    if axis is None:
        budget = VOXELS_CPU if device.is_cpu else VOXELS_GPU
    else:
        budget = PIXELS_CPU if device.is_cpu else PIXELS_GPU
    context = 1 if axis is None else _odd(min(params.context, min(s[axis] for s in shapes)))
    network = _network(sides, budget, context, classes, device, params)
    if axis is None:
        network = network.model_copy(update={"coarse": coarse_axis(cases)})
    patch = _patch(sides, budget, network.divisor)
    labelled = params.batch or _shared(_batch(patch, device), crowd, patch)
    shifts = _shifts(max(math.prod(shape) for shape in shapes), patch, device)
    islands = params.islands == "keep" or (params.islands == "auto" and covered.islands)
    words = (
        axis_words,
        spacing_words,
        f"Patches of {' x '.join(map(str, patch))} voxels, {labelled} labelled and {labelled} "
        f"unlabelled in a batch; {network.channels[0]} to {network.channels[-1]} features.",
        "Mixed precision." if device.amp is not None else "Single precision.",
        *_prediction_words(shifts, islands),
    )
    return Plan(
        network=network,
        spacing=spacing,
        axis=axis,
        context=context,
        patch=patch,
        labelled=labelled,
        unlabelled=labelled,
        learning_rate=params.learning_rate,
        weight_decay=params.weight_decay,
        shifts=shifts,
        islands=islands,
        words=words,
    )


def _prediction_words(shifts: Sequence[int], islands: bool) -> tuple[str, str]:
    views = f"Predictions are the mean of {len(shifts)} slightly moved views."
    erased = "Small islands of a prediction are erased; all labelled slices show one piece."
    return (
        views if len(shifts) > 1 else "Predictions look once, since volumes are large.",
        "Small islands of a prediction stay." if islands else erased,
    )


def _shifts(voxels: int, patch: Sequence[int], device: Device) -> tuple[int, ...]:
    """Return by how much each window is moved: more looks where a volume costs little."""
    room = MANY_LOOKS_CPU if device.is_cpu else MANY_LOOKS_GPU
    looks = (0, 2, 3, 5) if voxels <= room else (0, 3) if voxels <= 8 * room else (0,)
    return tuple(shift for shift in looks if shift < min(patch))


def default_minutes(device: Device) -> float:
    """Return how long to train when nobody says."""
    return MINUTES_CPU if device.is_cpu else MINUTES_GPU


def choose_spacing(cases: Sequence[CaseRecord]) -> tuple[Spacing, str]:
    """Return the median voxel size along each axis where cases differ, None where they agree.

    The coarse axis of thick slices always keeps each case's own slices: resampling it would
    invent or drop annotated slices.
    """
    medians = [median(case.geometry.spacing[axis] for case in cases) for axis in range(3)]
    chosen: list[float | None] = []
    for axis, middle in enumerate(medians):
        spread = max(abs(case.geometry.spacing[axis] / middle - 1) for case in cases)
        thick = middle > ANISOTROPIC * min(medians)
        chosen.append(None if thick or spread <= SAME_SPACING else round(middle, 4))
    if chosen == [None, None, None]:
        return (None, None, None), "Every volume keeps its own voxels."
    found = (chosen[0], chosen[1], chosen[2])
    return found, f"Voxels are made alike, to {_along_axes(found)}, since volumes differ there."


def _along_axes(spacing: Spacing) -> str:
    """Return voxel sizes by direction, such as "1 mm from left to right"."""
    directions = ("from left to right", "from back to front", "from foot to head")
    sizes = zip(spacing, directions, strict=True)
    return ", ".join(f"{size:g} mm {way}" for size, way in sizes if size is not None)


def choose_axis(
    cases: Sequence[CaseRecord],
    covered: Coverage,
    params: TrainingParams,
    patience: float = math.inf,
) -> tuple[int | None, str]:
    """Return the slice axis of a 2.5-D network, or None for 3-D, and why.

    `patience` is how many minutes a run on a CPU lasts; without end for steps and on other devices.
    """
    coarse = coarse_axis(cases)
    planes = covered.planes
    begins = first_plane([case.geometry for case in cases])
    used = planes.most_common(1)[0][0] if planes else begins
    fixed = None if params.plane == "auto" else Plane(params.plane)
    if params.dimensions == "3d":
        thick = "" if coarse is None else ", though slices are thick"
        return None, f"3-D network, as asked{thick}."
    if params.dimensions == "2.5d" or fixed is not None:
        plane = fixed or (used if coarse is None else Plane.of_axis(coarse))
        return plane.axis, f"2.5-D network on {plane} slices, as asked."
    if coarse is not None:
        plane = Plane.of_axis(coarse)
        return plane.axis, f"2.5-D network on {plane} slices, since slices are thick."
    flat = flat_plane(cases)
    if flat is not None:
        slices = median(case.geometry.slices(flat) for case in cases)
        why = f"volumes are only {slices:g} slices thick" if slices > 1 else "images are flat"
        return flat.axis, f"2.5-D network on {flat} slices, since {why}."
    if not planes:
        return used.axis, f"2.5-D network on {used} slices, since nothing is labelled yet."
    return _by_labels(used, covered, patience)


def _by_labels(used: Plane, covered: Coverage, patience: float) -> tuple[int | None, str]:
    """Return axis and reason where only what is labelled, mostly in `used`, decides."""
    planes = covered.planes
    if covered.dense:
        labelled = "whole volumes"
    elif planes[used] < 0.7 * planes.total():
        labelled = "slices of several planes"
    else:
        return used.axis, f"2.5-D network on {used} slices, since most labels lie in that plane."
    if patience >= BOXES_TAKE_MINUTES:
        return None, f"3-D network, since {labelled} are labelled."
    why = f"a 3-D one for {labelled} needs {BOXES_TAKE_MINUTES:g} minutes here"
    return used.axis, f"2.5-D network on {used} slices, since {why}."


def flat_plane(cases: Sequence[CaseRecord]) -> Plane | None:
    """Return the one plane whose slices are no strips in most cases; None where several are not.

    A network of boxes would be turned out of volumes that have so few slices.
    """
    half = len(cases) / 2
    whole = [p for p in Plane if sum(is_strip(case.geometry, p) for case in cases) <= half]
    return whole[0] if len(whole) == 1 else None


def coarse_axis(cases: Sequence[CaseRecord]) -> int | None:
    """Return the axis along which most cases have their longest voxels; None if hardly longer."""
    if median(case.geometry.anisotropy() for case in cases) <= ANISOTROPIC:
        return None
    spacings = [case.geometry.spacing for case in cases]
    return Counter(each.index(max(each)) for each in spacings).most_common(1)[0][0]


def _odd(count: int) -> int:
    return max(1, count if count % 2 else count - 1)


def _network(
    sides: Sequence[int],
    budget: int,
    context: int,
    classes: int,
    device: Device,
    params: TrainingParams,
) -> NetworkSpec:
    """Halve each axis while its patch side stays at 5 or more, at most four times."""
    dims = len(sides)
    bounded = _bounded(sides, budget)
    strides: list[tuple[int, ...]] = []
    left = [float(side) for side in bounded]
    while len(strides) < 4 and max(left) >= 10:
        stride = tuple(2 if side >= 10 else 1 for side in left)
        left = [math.ceil(side / step) for side, step in zip(left, stride, strict=True)]
        strides.append(stride)
    strides = strides or [(1,) * dims]
    width = params.width or (32 if device.is_cpu or dims == 3 else 48)
    channels = tuple(min(width * 2**level, 320) for level in range(len(strides) + 1))
    return NetworkSpec(
        dims=dims,
        in_channels=context,
        classes=classes,
        channels=channels,
        strides=tuple(strides),
        dropout=params.dropout,
    )


def _bounded(sides: Sequence[int], budget: int) -> list[int]:
    """Shrink the longest sides until the patch holds at most `budget` voxels."""
    cut = list(sides)
    while math.prod(cut) > budget:
        cut[cut.index(max(cut))] -= 1
    return cut


def _patch(sides: Sequence[int], budget: int, divisor: Sequence[int]) -> tuple[int, ...]:
    """Round the bounded sides up to the network's divisor."""
    return tuple(
        math.ceil(side / step) * step
        for side, step in zip(_bounded(sides, budget), divisor, strict=True)
    )


def _shared(items: int, crowd: int, patch: Sequence[int]) -> int:
    """Return the items left to several networks; small patches need two for batch norm."""
    return max(1 if math.prod(patch) >= ENOUGH_ALONE else 2, items // crowd)


def _batch(patch: Sequence[int], device: Device) -> int:
    """Return the labelled items of a batch: about 40,000 voxels on a CPU, more on a GPU."""
    voxels = math.prod(patch)
    if len(patch) == 3:
        room = 2 * VOXELS_CPU if device.is_cpu else min(4 * VOXELS_GPU, device.memory // 3000)
        return int(min(8, max(2, room // (2 * voxels))))
    room = 16 * 48 * 48 if device.is_cpu else min(32 * 256 * 256, device.memory // 6000)
    return int(min(32, max(4, room // voxels)))
