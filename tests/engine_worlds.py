"""Tiny volumes, plans and trainers: everything that the engine's tests train takes milliseconds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from torch import Tensor

from sslseg.core.annotation import IGNORE, Annotation, SliceKey, SliceRecord, SliceState
from sslseg.core.geometry import Geometry, Plane, Reorientation, take_slice
from sslseg.core.volume import CaseRecord
from sslseg.data.batch import Batch, Place
from sslseg.data.blocks import Blocks
from sslseg.data.sampling import Sampler, TrainingCase
from sslseg.data.targets import training_target
from sslseg.data.views import Views
from sslseg.data.warp import WarpRange
from sslseg.methods import find
from sslseg.methods.base import Method, MethodParams
from sslseg.methods.shared import CriticParams, TrainingParams
from sslseg.networks.factory import NetworkSpec
from sslseg.storage.store import ProjectStore
from sslseg.training.device import Device
from sslseg.training.planner import Plan
from sslseg.training.trainer import Trainer

CPU = Device(torch.device("cpu"), "CPU of the tests", 2**33, None, 1)
SHAPE = (10, 12, 8)
CLASSES = 3
CORONAL = Plane.CORONAL
LATE = 0.95
"""A fraction of the run at which every term of every method acts."""


def geometry(shape: Sequence[int] = SHAPE, spacing: Sequence[float] = (1.0, 1.0, 1.0)) -> Geometry:
    return Geometry.of(tuple(shape), np.diag([*spacing, 1.0]))


def record(
    name: str = "a", shape: Sequence[int] = SHAPE, spacing: Sequence[float] = (1.0, 1.0, 1.0)
) -> CaseRecord:
    return CaseRecord(
        name=name,
        source=f"{name}.nii",
        sha256=name,
        geometry=geometry(shape, spacing),
        reorientation=Reorientation(),
    )


def image(seed: int = 0, shape: Sequence[int] = SHAPE) -> np.ndarray:
    """Noise with a bright box, float16."""
    rng = np.random.default_rng(seed)
    data = rng.normal(size=shape)
    data[tuple(slice(side // 4, side // 2 + 1) for side in shape)] += 2
    return data.astype(np.float16)


def truth(seed: int = 0, shape: Sequence[int] = SHAPE, classes: int = CLASSES) -> np.ndarray:
    """Random classes in blocks, every class in every slice, int16."""
    rng = np.random.default_rng(seed + 1000)
    return rng.integers(0, classes, shape).astype(np.int16)


def saved(
    index: int,
    state: SliceState = SliceState.COMPLETE,
    plane: Plane = CORONAL,
    validation: bool = False,
) -> SliceRecord:
    """The record of one slice of case a."""
    key = SliceKey(case="a", plane=plane, index=index)
    return SliceRecord(
        key=key, state=state, revision=index + 1, time=0.0, author="test", validation=validation
    )


def annotation(records: Sequence[SliceRecord], labels: np.ndarray | None = None) -> Annotation:
    """Slices of `labels` (classes 0 to 2) painted as the records say; the rest is unpainted."""
    source = truth() if labels is None else labels
    painted = np.zeros(source.shape, np.uint8)
    for one in records:
        if one.state is not SliceState.NONE:
            there = take_slice(source, one.key.plane, one.key.index)
            take_slice(painted, one.key.plane, one.key.index)[...] = there
    return Annotation(painted, {(r.key.plane, r.key.index): r.state for r in records})


def target_of(records: Sequence[SliceRecord], labels: np.ndarray | None = None) -> np.ndarray:
    return training_target(annotation(records, labels), records)


def tiny_plan(
    dims: int,
    *,
    labelled: int = 2,
    unlabelled: int = 2,
    patch: tuple[int, ...] | None = None,
    levels: int = 2,
) -> Plan:
    """Coronal 2.5-D slices with 3 neighbours, or 3-D boxes; between levels sides are halved."""
    flat = dims == 2
    network = NetworkSpec(
        dims=dims,
        in_channels=3 if flat else 1,
        classes=CLASSES,
        channels=tuple(4 * 2**level for level in range(levels)),
        strides=((2,) * dims,) * (levels - 1),
    )
    return Plan(
        network=network,
        spacing=(None, None, None),
        axis=1 if flat else None,
        context=3 if flat else 1,
        patch=patch or ((8, 6) if flat else (8, 8, 6)),
        labelled=labelled,
        unlabelled=unlabelled,
        learning_rate=3e-3,
        weight_decay=1e-2,
        words=(),
    )


def tiny_cases(target: np.ndarray | None = None) -> list[TrainingCase]:
    """Case a with three annotated coronal slices (or `target`), cases b and c without any."""
    taught = target_of([saved(2), saved(5), saved(9)]) if target is None else target
    shape = taught.shape
    return [
        TrainingCase("a", image(0, shape), Blocks.of(taught)),
        TrainingCase("b", image(1, shape), None),
        TrainingCase("c", image(2, shape), None),
    ]


def tiny_sampler(plan: Plan, target: np.ndarray | None = None, seed: int = 0) -> Sampler:
    return Sampler(tiny_cases(target), plan.patches, seed)


def make_method(name: str, **values: object) -> Method[MethodParams]:
    chosen = find(name)
    return chosen(chosen.Params.model_validate(values))


def tiny_trainer(
    name: str,
    dims: int = 2,
    weight: float | None = 0.01,
    *,
    seed: int = 0,
    plan: Plan | None = None,
    training: dict[str, object] | None = None,
    device: Device = CPU,
    **values: object,
) -> Trainer:
    """`weight` is the riding critic's; None for no critic. `values` are the method's parameters."""
    critic = CriticParams(critic=weight is not None, critic_weight=weight or 0.0, critic_start=0.2)
    chosen = TrainingParams.model_validate(training or {})
    method = make_method(name, **values)
    return Trainer(method, plan or tiny_plan(dims), device, seed, chosen, critic)


def tiny_views(seed: int = 0, dims: int = 2) -> Views:
    return Views(torch.Generator().manual_seed(seed), WarpRange(), (False,) * dims)


def tiny_batch(dims: int, labelled: int = 2, unlabelled: int = 2, *, seed: int = 0) -> Batch:
    """Noise; of the labelled items about half of the voxels are annotated, of the others none."""
    rng = torch.Generator().manual_seed(seed)
    plan = tiny_plan(dims)
    x = torch.randn((labelled + unlabelled, plan.network.in_channels, *plan.patch), generator=rng)
    y = torch.randint(0, CLASSES, (labelled + unlabelled, *plan.patch), generator=rng)
    hidden = torch.rand(y.shape, generator=rng) < 0.5
    hidden[labelled:] = True
    target = torch.where(hidden, torch.full_like(y, IGNORE), y)
    place = Place("a", plan.axis, 3 if dims == 2 else 0, (0,) * dims, SHAPE)
    return Batch(x, target, labelled, (place,) * len(x), plain=x)


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    """Tell whether two states agree bit for bit."""
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def write_image(
    path: Path,
    seed: int = 0,
    shape: Sequence[int] = SHAPE,
    spacing: Sequence[float] = (1.0, 1.0, 1.0),
    directions: np.ndarray | None = None,
) -> Path:
    """A NIfTI file; `directions` are the signs or permutation of its axes, RAS where None."""
    affine = np.eye(4)
    affine[:3, :3] = (np.eye(3) if directions is None else directions) @ np.diag(spacing)
    values = 100 * image(seed, shape).astype(np.float32)
    nib.save(nib.Nifti1Image(values, affine), path)
    return path


def paint(
    store: ProjectStore,
    case: str,
    indices: Sequence[int],
    plane: Plane = CORONAL,
    state: SliceState = SliceState.COMPLETE,
    seed: int = 0,
) -> None:
    """Save slices of random classes 0 to 2."""
    labels = truth(seed, store.case(case).geometry.shape).astype(np.uint8)
    found = {index: (take_slice(labels, plane, index).copy(), state) for index in indices}
    store.save_slices(case, plane, found, author="test")
