"""A look at some slices of a case whose whole prediction takes too long."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from sslseg.core.control import Control, Place, Screen
from sslseg.core.errors import SslsegError
from sslseg.core.events import SlicesPredicted
from sslseg.core.geometry import Plane
from sslseg.core.prediction import Glimpse
from sslseg.core.volume import CaseRecord
from sslseg.data.preprocessing import Spacing, grid_shape, load_prepared, resample
from sslseg.data.targets import grid_index
from sslseg.inference.maps import Maps
from sslseg.inference.predictor import Predictor
from sslseg.storage.glimpses import FILE, save_glimpse
from sslseg.storage.store import ProjectStore
from sslseg.training.costs import Costs
from sslseg.training.model import ModelFacts

MOST = 7
"""Slices of a glimpse: that on the screen, and those that a turn of the wheel brings there."""

SHARE = 0.1
"""What several slices may take, of the time that one may take if need be."""

PATIENCE = 10.0
"""Seconds for which one waits for a whole case without seeing anything of it."""


def look(
    store: ProjectStore,
    predictor: Predictor,
    facts: ModelFacts,
    screen: Screen,
    control: Control,
    *,
    costs: Costs,
    longest: float,
) -> SlicesPredicted | None:
    """Put a glimpse of the case on the `screen` on disk, beside the run that `facts` are of.

    None where nothing is on the screen or there is no time for it, see `glimpse`; also where the
    case cannot be read, which the prediction of the whole tells.
    """
    case, place = screen
    if case is None:
        return None
    spacing, path = facts.plan.spacing, store.path / "runs" / facts.run / FILE
    try:
        found = glimpse(
            store, predictor, spacing, case, place, control, costs=costs, longest=longest
        )
        if found is not None:
            save_glimpse(path, found)
            return SlicesPredicted(case=case, file=str(path))
    except SslsegError:
        pass
    return None


def first_look(
    store: ProjectStore,
    predictor: Predictor,
    facts: ModelFacts,
    screen: Screen,
    control: Control,
    costs: Costs,
) -> Iterator[SlicesPredicted]:
    """Yield a glimpse of the case on the `screen` where nobody has the patience for all of it."""
    case = next((case for case in store.cases() if case.name == screen[0]), None)
    if case is not None and costs.preview(predictor, case, facts.plan.spacing) > PATIENCE:
        found = look(store, predictor, facts, screen, control, costs=costs, longest=PATIENCE)
        if found is not None:
            yield found


def glimpse(
    store: ProjectStore,
    predictor: Predictor,
    spacing: Spacing,
    name: str,
    place: Place | None,
    control: Control,
    *,
    costs: Costs,
    longest: float,
) -> Glimpse | None:
    """Return what a model says of slices around one of a case, as many as there is time for.

    Parameters
    ----------
    store : ProjectStore
        Read only.
    predictor : Predictor
        Of the model as it is now.
    spacing : tuple of float or None
        Of the training grid, as the plan's.
    name : str
        The case.
    place : (Plane, int) or None
        The slice in the middle, or the nearest that there is; None takes the middle axial one.
    control : Control
        Stops it.
    costs : Costs
        Know how long a window takes.
    longest : float
        Seconds that the slice alone may take; several take up to a tenth of it.

    Returns
    -------
    Glimpse or None
        Labels are the argmax of the nearest slices of the training grid: nothing is interpolated
        across slices, and no island is erased, since these show in whole volumes only. None where
        the slice alone would take longer.

    Raises
    ------
    Cancelled
        When the control asks for it.
    SslsegError
        Where the case cannot be read.
    """
    record = store.case(name)
    plane, index = place or (Plane.AXIAL, record.geometry.slices(Plane.AXIAL) // 2)
    count = record.geometry.slices(plane)
    for slices in range(MOST, 0, -2):
        around = _around(min(max(index, 0), count - 1), slices, count)
        wanted = _on_grid(around, plane, record, spacing)
        seconds = costs.planes_seconds(predictor, grid_shape(record, spacing), wanted)
        if seconds <= longest * (SHARE if slices > 1 else 1):
            image = load_prepared(store, record, spacing).image
            found = dict(zip(wanted, predictor.planes(image, wanted, control), strict=True))
            places = [_place(each, plane, record, spacing) for each in around]
            sides = record.geometry.slice_shape(plane)
            labels = np.stack([_decided(found[each], sides) for each in places])
            return Glimpse(name, plane, around[0], labels)
    return None


def _around(index: int, slices: int, count: int) -> range:
    """Return so many slices around one, fewer at either end of the volume."""
    reach = slices // 2
    return range(max(0, index - reach), min(count, index + reach + 1))


def _place(index: int, plane: Plane, record: CaseRecord, spacing: Spacing) -> tuple[int, int]:
    """Return axis and number of a slice on the training grid."""
    axis = plane.axis
    return axis, grid_index(index, record.geometry.shape[axis], grid_shape(record, spacing)[axis])


def _on_grid(
    indices: Sequence[int], plane: Plane, record: CaseRecord, spacing: Spacing
) -> list[tuple[int, int]]:
    """Return the slices of the training grid, each once."""
    return sorted({_place(index, plane, record, spacing) for index in indices})


def _decided(maps: Maps, sides: Sequence[int]) -> npt.NDArray[np.uint8]:
    """Return labels ``(H, W)`` on the case's own grid."""
    shares = [resample(part, sides) for part in maps.probability]
    return np.asarray(np.argmax(shares, 0), np.uint8)
