"""Auto-configuration: from spacings, shapes, annotated planes and the device to a plan."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from statistics import median

from pydantic import BaseModel, ConfigDict, field_validator

from sslseg.core.geometry import Plane, first_plane, is_strip
from sslseg.core.volume import CaseRecord
from sslseg.data.coverage import Coverage
from sslseg.data.islands import SMALL, UNLIKE
from sslseg.data.preprocessing import Spacing, grid_shape
from sslseg.data.sampling import PatchPlan
from sslseg.methods.shared import TrainingParams
from sslseg.networks.factory import NetworkSpec
from sslseg.training.device import Device
from sslseg.training.planner_grid import ANISOTROPIC, Grids
from sslseg.training.planner_sizes import (
    SHIFTS,
    batch,
    bounded,
    check_memory,
    choose_shifts,
    is_plain,
    kept,
    make_network,
    room,
    rounded,
)

LOOKS, CALMEST = 700.0, 0.1
"""A run that looks at each slice more often than this has its learning rate lowered in
proportion: with few slices and much time the full rate overfits."""

MINUTES_CPU, MINUTES_GPU = 4.0, 2.0

BOXES_TAKE_MINUTES, FEW_VOXELS = 3.0, 40**3
"""A shorter run on a CPU learns from slices of one plane even where several are labelled, or whole
volumes: a network of boxes would take a third of the steps or fewer. Where volumes hold more than
40 x 40 x 40 voxels, it needs as many times longer to see them all."""

LONG = 180
"""From so many minutes on hours are told."""

WITHOUT_LABELS = 5
"""So many of a plan's first words hold for learning from images alone too."""


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
    islands : float
        Below which share of the largest piece of its class a prediction's other ones are erased.
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
    islands: float = 0.0
    words: tuple[str, ...]
    boxes: Plan | None = None

    @field_validator("islands", mode="before")
    @classmethod
    def _once_a_bool(cls, value: object) -> object:
        """Read the plans of models that knew one share only: whether islands stay."""
        return (0.0 if value else SMALL) if isinstance(value, bool) else value

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
    before: Plan | None = None,
    boxes: bool = False,
    others: float = 1.0,
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
    before : Plan or None
        Of the run to go on from; its network is kept where it still fits.
    boxes : bool
        Whether the method learns from boxes alone.
    others : float
        Unlabelled items for each labelled one, as `Method.others`.

    Raises
    ------
    SslsegError
        When the user fixed a voxel size far from the volumes', or a patch too large for the device.
    """
    last = before.spacing if before else None
    grids = Grids(cases, params.spacing, covered.thinnest, device.is_cpu, last)
    patience = minutes if device.is_cpu and minutes is not None else math.inf
    axis, axis_words = choose_axis(cases, covered, params, patience, boxes)
    spacing, spacing_words = grids.choose(axis)
    shapes = [grid_shape(case, spacing) for case in cases]
    # The median, as nnU-Net has it: with the largest, most volumes would be padded far.
    usual = [math.ceil(median(shape[a] for shape in shapes)) for a in range(3) if a != axis]
    sides = bounded(usual, device, params.patch)
    context = 1 if axis is None else _odd(min(params.context, min(s[axis] for s in shapes)))
    coarse = coarse_axis(cases) if axis is None else None
    anew = make_network(sides, context, classes, device, params, coarse)
    network = kept(before.network if before and before.axis == axis else None, anew)
    most = math.inf if params.patch else room(len(usual), device)
    patch = rounded(sides, network.divisor, most)
    labelled = params.batch or batch(patch, device, crowd)
    check_memory(patch, labelled, device, params.patch)
    largest = max(math.prod(shape) for shape in shapes)
    plan = Plan(
        network=network,
        spacing=spacing,
        axis=axis,
        context=context,
        patch=patch,
        labelled=labelled,
        unlabelled=math.ceil(others * labelled),
        learning_rate=params.learning_rate,
        weight_decay=params.weight_decay,
        shifts=choose_shifts(largest, patch, device, params.looks),
        islands=choose_islands(covered.islands, params),
        words=(axis_words, spacing_words, _network_words(network, device, params, network != anew)),
    )
    return plan.model_copy(update={"words": (*plan.words, *_words(plan, device, params))})


def _network_words(network: NetworkSpec, device: Device, params: TrainingParams, old: bool) -> str:
    read = "" if network.dims == 3 else f"{_slice_words(network.in_channels, params)}, by "
    return (
        f"{read}{len(network.channels)} levels of {network.channels[0]} to {network.channels[-1]} "
        f"features{_width_reason(device, params)}; the deepest has a cell for "
        f"{_by(network.divisor)} voxels{', as in the run before' if old else ''}."
    )


def _width_reason(device: Device, params: TrainingParams) -> str:
    if params.width:
        return _asked(True)
    return ", few since this CPU knows no fast bfloat16" if is_plain(device) else ""


def _slice_words(count: int, params: TrainingParams) -> str:
    if count == 1:
        return "Slices are read one by one"
    fewer = " (an odd number that all volumes have)" if count != params.context else ""
    return f"{count} slices are read at once{fewer}"


def _words(plan: Plan, device: Device, params: TrainingParams) -> tuple[str, ...]:
    mixed = device.with_precision(params.precision).amp is not None
    return (
        f"{'Mixed' if mixed else 'Single'} precision{_asked(params.precision != 'auto')}.",
        f"Learning rate {plan.learning_rate:g}, falling to 0, and lower in a run that looks at "
        f"each slice over {LOOKS:g} times; weight decay {plan.weight_decay:g}.",
        f"Patches of {_by(plan.patch)} voxels{_patch_reason(plan, params)}, "
        f"{_batch_words(plan, params)}.",
        _look_words(plan, params),
        _island_words(plan, params),
    )


def _batch_words(plan: Plan, params: TrainingParams) -> str:
    """Return what a batch holds; only the labelled items can be asked for."""
    others = f" and {plan.unlabelled} unlabelled" if plan.unlabelled else ""
    if params.batch == 0:
        return f"{plan.labelled} labelled{others} in a batch"
    return f"{plan.labelled} labelled, as asked,{others} in a batch"


def _by(sides: Sequence[int]) -> str:
    return " x ".join(map(str, sides))


def _asked(asked: bool) -> str:
    return ", as asked" if asked else ""


def _patch_reason(plan: Plan, params: TrainingParams) -> str:
    """Return what became of the side that was asked for, if one was."""
    longest = max(plan.patch)
    if params.patch in (0, longest):
        return _asked(params.patch > 0)
    if longest > params.patch:
        return f" ({params.patch} asked, rounded up to what the levels can halve)"
    return f" ({params.patch} asked, but volumes are smaller)"


def _look_words(plan: Plan, params: TrainingParams) -> str:
    looks = len(plan.shifts)
    if looks > 1:
        asked = _asked(params.looks == looks)
        return f"Predictions are the mean of {looks} slightly moved looks{asked}."
    if params.looks == 1:
        return "Predictions look once, as asked."
    thin = min(plan.patch) <= SHIFTS[1][1]
    return f"Predictions look once, since {'patches are thin' if thin else 'volumes are large'}."


def _island_words(plan: Plan, params: TrainingParams) -> str:
    if not plan.islands:
        return f"Small islands of a prediction stay{_asked(params.islands == 'keep')}."
    erased = f"Pieces of a prediction below {plan.islands:.0%} of the largest are erased"
    if params.islands == "erase":
        return f"{erased}, as asked."
    planes = " of several planes" if plan.islands == UNLIKE else ""
    return f"{erased}; all labelled slices{planes} show one piece."


def choose_islands(shown: float, params: TrainingParams) -> float:
    """Return below which share of the largest piece others are erased, by slices or as asked."""
    if params.islands == "keep":
        return 0.0
    return max(shown, SMALL) if params.islands == "erase" else shown


def default_minutes(device: Device) -> float:
    """Return how long to train when nobody says."""
    return MINUTES_CPU if device.is_cpu else MINUTES_GPU


def choose_axis(
    cases: Sequence[CaseRecord],
    covered: Coverage,
    params: TrainingParams,
    patience: float = math.inf,
    boxes: bool = False,
) -> tuple[int | None, str]:
    """Return the slice axis of a 2.5-D network, or None for 3-D, and why.

    `patience` is how many minutes a run on a CPU lasts; without end for steps and on other devices.
    `boxes` as in `make_plan`.
    """
    coarse = coarse_axis(cases)
    planes = covered.planes
    begins = first_plane([case.geometry for case in cases])
    used = max((begins, *planes), key=lambda plane: planes[plane])  # of equals the first
    fixed = None if params.plane == "auto" else Plane(params.plane)
    if params.dimensions == "3d" or boxes:
        why = "as asked" if params.dimensions == "3d" else "which this method cannot do without"
        thick = "" if coarse is None else ", though slices are thick"
        return None, f"3-D network, {why}{thick}."
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
    return _by_labels(used, covered, patience, boxes_take(cases))


def boxes_take(cases: Sequence[CaseRecord]) -> float:
    """Return how many minutes a run on a CPU needs for a network of boxes."""
    voxels = median(math.prod(case.geometry.shape) for case in cases)
    return BOXES_TAKE_MINUTES * max(1.0, voxels / FEW_VOXELS)


def _by_labels(
    used: Plane, covered: Coverage, patience: float, needed: float
) -> tuple[int | None, str]:
    """Return axis and reason where only what is labelled, mostly in `used`, decides.

    `needed` is for how many minutes on a CPU a network of boxes must learn at least.
    """
    planes = covered.planes
    if covered.dense:
        labelled = "whole volumes"
    elif planes[used] < 0.7 * planes.total():
        labelled = "slices of several planes"
    else:
        return used.axis, f"2.5-D network on {used} slices, since most labels lie in that plane."
    if patience >= needed:
        enough = "" if patience == math.inf else f" and {patience:g} minutes are enough for it"
        return None, f"3-D network, since {labelled} are labelled{enough}."
    lasting = f"{needed:.0f} minutes" if needed < LONG else f"{needed / 60:.0f} hours"
    why = f"a 3-D one for {labelled} needs {lasting} here"
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
