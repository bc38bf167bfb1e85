"""Image files become cases, read beside the window."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from napari.utils.notifications import show_warning

from napari_sslseg.background import Background
from napari_sslseg.reading import describer
from sslseg.core.errors import SslsegError
from sslseg.core.volume import CaseRecord
from sslseg.core.words import counted
from sslseg.storage.store import ProjectStore

LISTING_S = 1.0
"""Seconds between two refreshes of the worklist while many volumes are added."""


class Adding:
    """Adds image files and DICOM folders to a project, one after the other.

    Parameters
    ----------
    background : Background
        Reads the files.
    report : callable
        Told of each that cannot be read or added; the others are added all the same.
    list_cases : callable
        Shows what was added: at once when all are read (True), once a second while many are coming.
    """

    def __init__(
        self,
        background: Background,
        report: Callable[[Exception], object],
        list_cases: Callable[[bool], object],
    ) -> None:
        self._background, self._report, self._list_cases = background, report, list_cases
        self._listed_at = 0.0
        self._due = 0

    def add(self, store: ProjectStore, paths: Sequence[Path]) -> None:
        """Read these files, and add each as a case of `store`."""
        self._due += len(paths)
        for path in paths:
            self._background.submit(describer(path), partial(self._keep, store), self._failed)

    def forget(self, project: str) -> None:
        """Say how many are not added to a project that is closed, whose jobs were dropped."""
        left, self._due = self._due, 0
        if left:
            show_warning(
                f"{counted(left, 'volume')} not added to {project}: it was closed before they"
                f" were read. Open {project} again and add them once more."
            )

    def _keep(self, store: ProjectStore, record: CaseRecord) -> None:
        try:
            store.add_case(record)
        except SslsegError as error:
            self._report(error)
        self._added()

    def _failed(self, error: Exception) -> None:
        self._report(error)
        self._added()

    def _added(self) -> None:
        self._due -= 1
        last = not self._due
        if last or time.monotonic() - self._listed_at >= LISTING_S:
            self._listed_at = time.monotonic()
            self._list_cases(last)
