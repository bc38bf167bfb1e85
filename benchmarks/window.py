"""A real napari window on a real project, and ways to wait for what happens in it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

os.environ["NAPARI_CONFIG"] = ""  # the user's own settings stay out of it, and unchanged

import napari
from qtpy.QtCore import QEventLoop, QTimer
from qtpy.QtWidgets import QPushButton

from napari_sslseg.__main__ import start
from napari_sslseg._dock import SegmentationDock
from sslseg.core.events import CommandDone, Event, RunFinished

CASES = 20
PATIENCE_S = 300


def make_project(folder: Path, data: Path) -> None:
    """Make a project of 20 volumes, of which 4 have 3 labelled coronal slices each.

    Parameters
    ----------
    folder : Path
        New.
    data : Path
        The hippocampus data set.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        pool.submit(_make_project, folder, data).result()


def _make_project(folder: Path, data: Path) -> None:
    """Work in a process of its own: a session loads torch, the window's process never does."""
    from dataset import read
    from protocol import add, annotate

    from sslseg.session import Session

    found = read(data)
    names = found.train[:CASES]
    with Session.create(folder, found.classes) as session:
        add(session, found, names)
        annotate(session, found, names[:: CASES // 4], "coronal")


def copied(template: Path, name: str) -> Path:
    """Return a fresh copy of a project, beside it."""
    return Path(shutil.copytree(template, template.with_name(name)))


@contextmanager
def opened(
    project: Path, size: tuple[int, int] | None = None
) -> Iterator[tuple[napari.Viewer, SegmentationDock]]:
    """Show a window with the project open in the dock and its worker ready; close it after.

    Parameters
    ----------
    project : Path
    size : tuple of int, optional
        Width and height; by default as napari opens it.
    """
    viewer, dock = start(project)
    try:
        if size is not None:
            viewer.window.resize(*size)
        wait_for(dock, lambda event: done(event, "suggest"))
        yield viewer, dock
    finally:
        dock.shut()
        viewer.close()


def done(event: Event, command: str) -> bool:
    """Tell whether an event ends a command."""
    return isinstance(event, CommandDone) and event.command == command


def press(dock: SegmentationDock, button: str) -> None:
    """Press a button of the dock."""
    dock.findChild(QPushButton, button).click()


def wait(begin: Callable[[Callable[[], None]], object], what: str) -> None:
    """Run the window until something happens.

    Parameters
    ----------
    begin : callable
        Takes the function to call when it has happened.
    what : str
        For the complaint where it never does.
    """
    loop = QEventLoop()
    found: list[bool] = []

    def happened() -> None:
        found.append(True)
        loop.quit()

    patience = QTimer()
    patience.setSingleShot(True)
    patience.timeout.connect(loop.quit)
    patience.start(1000 * PATIENCE_S)
    begin(happened)
    if not found:
        loop.exec()
    if not found:
        raise TimeoutError(f"{what}: not in {PATIENCE_S} s")


def wait_for(dock: SegmentationDock, wanted: Callable[[Event], bool]) -> None:
    """Run the window until the engine tells a wanted event; raises where a training ends first."""
    ends: list[str] = []

    def begin(happened: Callable[[], None]) -> None:
        def hear(event: Event) -> None:
            failed = isinstance(event, CommandDone) and event.message
            over = isinstance(event, RunFinished) and not wanted(event)
            if failed or over:
                ends.append(event.message)
            if failed or over or wanted(event):
                dock.controller.told.disconnect(hear)
                happened()

        dock.controller.told.connect(hear)

    wait(begin, "the engine's event")
    if ends:
        raise RuntimeError(f"ended too early: {ends[0]}")


def run_for(seconds: float) -> None:
    """Run the window for a while."""
    loop = QEventLoop()
    QTimer.singleShot(round(1000 * seconds), loop.quit)
    loop.exec()
