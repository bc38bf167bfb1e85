"""Predictions on disk: read beside the window, onto the screen and into the worklist."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from napari_sslseg.background import OnError, Threads
from napari_sslseg.case_view import CaseView
from napari_sslseg.reading import fits, fits_slices, unless_replaced
from napari_sslseg.summaries import Worklist, read_facts
from sslseg.core.prediction import Glimpse, Prediction
from sslseg.storage import arrays
from sslseg.storage.glimpses import load_glimpse
from sslseg.storage.store import ProjectStore


class Predictions:
    """Where predictions go when they come.

    Parameters
    ----------
    view : CaseView
        Shows that of the case on the screen.
    worklist : Worklist
        Takes the figures of all.
    threads : Threads
        Read them; the figures of a whole project do not keep the screen waiting.
    report : callable
        Hears of a damaged one.
    shown : callable
        Hears of each that was put on the screen.
    """

    def __init__(
        self,
        view: CaseView,
        worklist: Worklist,
        threads: Threads,
        report: OnError,
        shown: Callable[[Prediction], object],
    ) -> None:
        self._view = view
        self._worklist = worklist
        self._threads = threads
        self._report = report
        self._shown = shown

    def begin(self, store: ProjectStore) -> None:
        """Read the figures of all cases of a project."""
        for case in self._worklist.summaries:
            folder = arrays.latest_prediction(store.path, case)
            if folder is not None:
                self._read_figures(store, case, folder)

    def take(self, store: ProjectStore, case: str, folder: Path) -> None:
        """Read a new one."""
        self._read_figures(store, case, folder)
        if self._view.case is not None and self._view.case.name == case:
            self._put_on_screen(case, folder)

    def take_slices(self, case: str, file: Path) -> None:
        """Put slices of a case on the screen, if it is still there."""

        def show(glimpse: Glimpse) -> None:
            on_screen = self._view.case
            if on_screen is None or not on_screen.name == case == glimpse.case:
                return
            if fits_slices(glimpse, on_screen):
                self._view.show_slices(glimpse)

        self._threads.files.submit(partial(load_glimpse, file), show)

    def show(self, store: ProjectStore, case: str) -> None:
        """Put the newest of a case on the screen, if there is one."""
        folder = arrays.latest_prediction(store.path, case)
        if folder is not None:
            self._put_on_screen(case, folder)

    def _put_on_screen(self, case: str, folder: Path) -> None:
        def show(prediction: Prediction) -> None:
            on_screen = self._view.case
            if on_screen is not None and on_screen.name == case and fits(prediction, on_screen):
                self._view.show_prediction(prediction)
                self._shown(prediction)

        read = partial(arrays.load_prediction, folder)
        self._threads.files.submit(read, show, unless_replaced(folder, self._report))

    def _read_figures(self, store: ProjectStore, case: str, folder: Path) -> None:
        read = partial(read_facts, folder, case, store)
        self._threads.figures.submit(
            read, self._worklist.note, unless_replaced(folder, self._report)
        )
