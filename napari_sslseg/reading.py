"""Reads of images and annotations that the controller starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sslseg.core.annotation import Annotation
from sslseg.core.errors import SslsegError
from sslseg.core.prediction import Glimpse, Prediction
from sslseg.core.volume import CaseRecord
from sslseg.storage import arrays
from sslseg.storage.store import ProjectStore


def describer(path: Path) -> Callable[[], CaseRecord]:
    """Return work for the background: read an image file or a DICOM folder as a case."""

    def work() -> CaseRecord:
        from sslseg.storage import images

        return images.describe(path)

    return work


def good_annotation(
    store: ProjectStore, case: str, report: Callable[[Exception], object]
) -> Annotation:
    """Return what was painted on a case; damage is reported, older revisions stand in for it."""
    try:
        return store.annotation(case)
    except SslsegError as error:
        report(error)
        return store.annotation(case, skip_damaged=True)


def unless_replaced(
    folder: Path, report: Callable[[Exception], object]
) -> Callable[[Exception], None]:
    """Return what is done where a prediction cannot be read: `report` it as damaged.

    Nothing where a newer one is there by now: while training, old ones go as new ones come.
    """

    def failed(error: Exception) -> None:
        project, case = folder.parents[2], folder.parent.name
        newest = arrays.latest_prediction(project, case)
        if newest is None or newest.name <= folder.name:  # names are times
            report(error)

    return failed


def fits(prediction: Prediction, case: CaseRecord) -> bool:
    """Tell whether a prediction lies on the grid of a case."""
    return prediction.labels.shape == case.geometry.shape


def fits_slices(glimpse: Glimpse, case: CaseRecord) -> bool:
    """Tell whether predicted slices lie on the grid of a case."""
    shape = (len(glimpse.labels), *case.geometry.slice_shape(glimpse.plane))
    end = glimpse.first + len(glimpse.labels)
    return glimpse.labels.shape == shape and end <= case.geometry.slices(glimpse.plane)
