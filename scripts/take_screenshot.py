"""Take the README's picture from the real program: open the sample project, train, look.

Usage: ``python scripts/take_screenshot.py PICTURE [MINUTES]``; ``scripts/screenshot`` calls it.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

os.environ["NAPARI_CONFIG"] = ""  # the user's own settings stay out of it, and unchanged

from qtpy.QtCore import QEventLoop, QTimer
from qtpy.QtWidgets import QDoubleSpinBox, QPushButton

from napari_sslseg.__main__ import start
from napari_sslseg._dock import SegmentationDock
from sslseg.core.commands import Suggest
from sslseg.core.events import CommandDone, Event
from sslseg.storage.samples import make_sample_project

CASE = "sample_08"
SIZE = (1600, 1000)
PATIENCE_S = 600


def wait_for(dock: SegmentationDock, command: str) -> None:
    """Run the window until the engine has done a command; exits if it never does."""
    loop = QEventLoop()
    found: list[Event] = []

    def hear(event: Event) -> None:
        if isinstance(event, CommandDone) and event.command == command:
            found.append(event)
            loop.quit()

    dock.controller.told.connect(hear)
    QTimer.singleShot(1000 * PATIENCE_S, loop.quit)
    loop.exec()
    dock.controller.told.disconnect(hear)
    if not found:
        sys.exit(f"'{command}' was not done in {PATIENCE_S} s.")


def press(dock: SegmentationDock, button: str, command: str | None = None) -> None:
    """Press a button of the dock, and wait until what it asks for is done."""
    dock.findChild(QPushButton, button).click()
    if command:
        wait_for(dock, command)


def pause(seconds: float) -> None:
    """Let the window draw."""
    loop = QEventLoop()
    QTimer.singleShot(round(1000 * seconds), loop.quit)
    loop.exec()


def main() -> None:
    """Press Train, wait for its end, show a slice and take the picture."""
    picture = Path(sys.argv[1])
    minutes = float(sys.argv[2]) if len(sys.argv) > 2 else 0.7
    with tempfile.TemporaryDirectory() as folder:
        viewer, dock = start(make_sample_project(Path(folder) / "sample project"))
        viewer.window.resize(*SIZE)
        dock.show_case(CASE)
        dock.findChild(QDoubleSpinBox, "minutes").setValue(minutes)
        wait_for(dock, "open")
        press(dock, "train", "train")
        press(dock, "predict_all", "predict")
        dock.controller.send(Suggest(count=10))
        wait_for(dock, "suggest")
        press(dock, "show_uncertainty")
        viewer.dims.set_current_step(2, 24)
        pause(1.5)
        viewer.window.screenshot(str(picture), flash=False, canvas_only=False)
        viewer.close()
        pause(1.0)
    print(picture)


if __name__ == "__main__":
    main()
